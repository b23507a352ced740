//! A session policy: in a file of its own, as a JSON string, or as a TOML table.

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use crate::config::context::Context;
use crate::config::cursor::Node;
use crate::config::fault::At;
use crate::files;
use crate::model::SessionPolicy;

/// Reads the policy that `node` holds or names.
pub(super) fn read(node: &Node<'_>, context: &Context<'_>) -> Option<At<SessionPolicy>> {
    let (text, span) = match node.raw() {
        DeValue::String(text) => (text.to_string(), node.span.clone()),
        DeValue::Table(table) if table.contains_key("file") => {
            let mut table = node.table()?;
            let path = context.absolute(&table.string("file")?)?;
            table.finish(|_| None);
            let span = path.span.clone();
            let mut text = String::new();
            context.readable(path, |path| {
                text = files::read_trusted(path, MAX_POLICY_BYTES)?.to_string();
                Ok(())
            })?;
            (text, span)
        }
        DeValue::Table(table) => (object(table).to_string(), node.span.clone()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => return node.wrong("a policy", FORMS),
    };
    let is_object = serde_json::from_str::<Map<String, Value>>(&text).is_ok();
    let help = if is_object { WITHIN_LIMITS } else { FORMS };
    let policy = context.findings.check(SessionPolicy::parse(&text), &span, help)?;
    Some(At { value: policy, span })
}

fn object(table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.to_string(), json(value.get_ref()))
    };
    Value::Object(table.iter().map(entry).collect::<Map<_, _>>())
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            i64::from_str_radix(&digits, integer.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            number.map_or(Value::Null, Value::Number)
        }
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Array(array) => array.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => object(table),
    }
}

const FORMS: &str =
    "write policy = { file = \"policy.json\" }, the JSON in a string, or the same as a TOML table";

const WITHIN_LIMITS: &str = "write it shorter, with * or ? in the place of names that differ, or as a managed policy in policy_arns";

/// Largest policy file in bytes, white space included; STS takes 2,048 characters (contract E.1).
const MAX_POLICY_BYTES: u64 = 1 << 16;
