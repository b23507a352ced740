//! The parameters of a request: an HTML form, with lists spelled `Name.member.1`.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use zeroize::Zeroizing;

use crate::sandbox::answer::Refusal;

/// The parameters by name; each of them once.
pub(super) struct Form(BTreeMap<String, Zeroizing<String>>);

impl Form {
    /// Reads the body of a request; a body of another type than a form holds no parameters.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let mut parameters = BTreeMap::new();
        if !is_form(headers) {
            return Ok(Self(parameters));
        }
        for (name, value) in form_urlencoded::parse(body) {
            let value = Zeroizing::new(value.into_owned());
            if parameters.insert(name.clone().into_owned(), value).is_some() {
                return Err(Refusal::bad_request(
                    "MalformedQueryString",
                    format!("The parameter {name} appears more than once"),
                ));
            }
        }
        Ok(Self(parameters))
    }

    /// The parameter `name`; one that is there but empty counts as there.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// The parameter `name` as a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.text(name).map(str::parse).transpose().map_err(|_| {
            Refusal::bad_request("MalformedInput", format!("{name} is not a whole number"))
        })
    }

    /// The numbers of the members of the list `name`, in order.
    pub(super) fn members(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{name}.member.");
        let numbers: BTreeSet<u32> = self
            .0
            .keys()
            .filter_map(|key| key.strip_prefix(&prefix)?.split('.').next()?.parse().ok())
            .collect();
        numbers.into_iter().collect()
    }

    /// What stands in the list `name` at `number`, in its field `field` or by itself where that is empty.
    pub(super) fn member(&self, name: &str, number: u32, field: &str) -> Option<&str> {
        let dot = if field.is_empty() { "" } else { "." };
        self.text(&format!("{name}.member.{number}{dot}{field}"))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Form, Refusal> {
        let mut headers = HeaderMap::new();
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        headers.insert(http::header::CONTENT_TYPE, form.parse().unwrap());
        Form::read(&headers, body.as_bytes())
    }

    #[test]
    fn lists_are_read_in_the_order_of_their_numbers() {
        let form =
            read("Tags.member.10.Key=b&Tags.member.2.Key=a&Tags.member.2.Value=x+y%26").unwrap();
        assert_eq!(form.members("Tags"), [2, 10]);
        assert_eq!(form.member("Tags", 2, "Value"), Some("x y&"));
        assert_eq!(form.member("Tags", 10, "Value"), None);
    }

    #[test]
    fn a_parameter_twice_is_refused() {
        assert_eq!(read("Action=a&Action=b").err().unwrap().code, "MalformedQueryString");
    }

    #[test]
    fn a_body_that_is_no_form_has_no_parameters() {
        let form = Form::read(&HeaderMap::new(), b"Action=GetCallerIdentity").unwrap();
        assert_eq!(form.text("Action"), None);
    }
}
