//! What goes back over the wire: AWS's XML for an answer, AWS's XML for a refusal.
//!
//! The shapes are those of the AWS query protocol (STS API Reference, "`AssumeRole`", example response; "Common
//! Errors"): a result inside a response with the request's id, or an error of type `Sender` or `Receiver`.

use aws_smithy_xml::encode::{ScopeWriter, XmlWriter};
use http::StatusCode;

use crate::sandbox::count::Operation;
use crate::sandbox::service::Service;

/// Why there is no result: the code, the status and the wording that AWS uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    /// A refusal that is the caller's own fault and says so with 400.
    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// A refusal of who asks, or of what they may do, with 403.
    pub(super) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }

    /// The caller is known and may not.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::forbidden("AccessDenied", message)
    }

    /// What is asked for does not go with what there is.
    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code, message: message.into() }
    }

    /// There is no such user, key or device.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "NoSuchEntity", message: message.into() }
    }

    /// A parameter is out of its bounds.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::bad_request("ValidationError", message)
    }

    /// The server's own fault.
    pub(super) fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "InternalFailure",
            message: "The request processing has failed because of an unknown error, exception or failure."
                .to_owned(),
        }
    }

    /// The refusal as a document of `service`.
    pub(super) fn document(&self, service: Service, request_id: &str) -> String {
        let mut document = String::new();
        let mut writer = XmlWriter::new(&mut document);
        let mut root =
            writer.start_el("ErrorResponse").write_ns(service.namespace(), None).finish();
        let mut error = root.start_el("Error").finish();
        let kind = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        element(&mut error, "Type", kind);
        element(&mut error, "Code", self.code);
        element(&mut error, "Message", &self.message);
        error.finish();
        element(&mut root, "RequestId", request_id);
        root.finish();
        document
    }
}

/// A result: elements in order, some of which hold others, some of them secret.
pub(super) struct Answer(Vec<Node>);

enum Node {
    Text(&'static str, String),
    Group(&'static str, Vec<Self>),
}

impl Answer {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an element with a text.
    pub(super) fn text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.push(Node::Text(name, text.into()));
        self
    }

    /// Adds an element with a text, where there is one.
    pub(super) fn optional(self, name: &'static str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds an element that holds `inner`.
    pub(super) fn group(mut self, name: &'static str, inner: Self) -> Self {
        self.0.push(Node::Group(name, inner.0));
        self
    }

    /// Adds an element that holds a list.
    pub(super) fn list(self, name: &'static str, members: impl IntoIterator<Item = Self>) -> Self {
        let members =
            members.into_iter().fold(Self::new(), |list, member| list.group("member", member));
        self.group(name, members)
    }

    /// The result of `operation` as a document; an operation that gives nothing has no result in it.
    pub(super) fn document(&self, operation: Operation, request_id: &str) -> String {
        let mut document = String::new();
        let name = operation.as_str();
        let (response, result) = (format!("{name}Response"), format!("{name}Result"));
        let mut writer = XmlWriter::new(&mut document);
        let namespace = operation.service().namespace();
        let mut root = writer.start_el(&response).write_ns(namespace, None).finish();
        if !self.0.is_empty() {
            let mut inner = root.start_el(&result).finish();
            write(&mut inner, &self.0);
            inner.finish();
        }
        let mut metadata = root.start_el("ResponseMetadata").finish();
        element(&mut metadata, "RequestId", request_id);
        metadata.finish();
        root.finish();
        document
    }
}

fn write(scope: &mut ScopeWriter<'_, '_>, nodes: &[Node]) {
    for node in nodes {
        match node {
            Node::Text(name, text) => element(scope, name, text),
            Node::Group(name, inner) => {
                let mut group = scope.start_el(name).finish();
                write(&mut group, inner);
                group.finish();
            }
        }
    }
}

fn element(scope: &mut ScopeWriter<'_, '_>, name: &str, text: &str) {
    let mut element = scope.start_el(name).finish();
    element.data(text);
    element.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_written_as_aws_writes_it() {
        assert_eq!(
            Refusal::denied("a < b & \"c\"").document(Service::Sts, "id"),
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>a &lt; b &amp; &quot;c&quot;</Message></Error>\
             <RequestId>id</RequestId></ErrorResponse>"
        );
        assert!(Refusal::internal().document(Service::Iam, "id").contains("<Type>Receiver</Type>"));
    }

    #[test]
    fn an_answer_nests_its_result() {
        let answer = Answer::new()
            .group("Credentials", Answer::new().text("SessionToken", "a/b+c=="))
            .optional("PackedPolicySize", None::<String>);
        assert_eq!(
            answer.document(Operation::GetSessionToken, "id"),
            "<GetSessionTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetSessionTokenResult>\
             <Credentials><SessionToken>a/b+c==</SessionToken></Credentials></GetSessionTokenResult>\
             <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetSessionTokenResponse>"
        );
    }

    #[test]
    fn lists_have_members_and_nothing_has_no_result() {
        let list = Answer::new().list("Keys", ["a", "b"].map(|id| Answer::new().text("Id", id)));
        let document = list.document(Operation::ListAccessKeys, "id");
        let members = "<Keys><member><Id>a</Id></member><member><Id>b</Id></member></Keys>";
        assert!(document.contains(members), "{document}");
        assert_eq!(
            Answer::new().document(Operation::DeleteAccessKey, "id"),
            "<DeleteAccessKeyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><ResponseMetadata>\
             <RequestId>id</RequestId></ResponseMetadata></DeleteAccessKeyResponse>"
        );
    }
}
