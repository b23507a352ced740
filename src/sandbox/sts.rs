//! One request to one of the services: which operation it names, what its faults make of it, and what is counted.

use http::StatusCode;

use crate::sandbox::Sandbox;
use crate::sandbox::answer::Refusal;
use crate::sandbox::count::Operation;
use crate::sandbox::fault::{self, FaultKind};
use crate::sandbox::form::Form;
use crate::sandbox::operation;
use crate::sandbox::service::Service;
use crate::sandbox::signature::Received;

/// What the server sends, if anything.
pub(super) enum Outcome {
    /// A document of AWS's.
    Document { status: StatusCode, body: String },
    /// A page that is no document.
    Garbage,
    /// A body without end, for a client that does not look how much it reads.
    Huge,
    /// Nothing: the connection ends.
    Reset,
}

/// Answers `received`, with `request_id` in the document.
pub(super) async fn respond(
    sandbox: &Sandbox,
    received: Received<'_>,
    request_id: &str,
) -> Outcome {
    let (form, operation) = match named_operation(received) {
        Ok(named) => named,
        Err(refusal) => return document(&refusal, Service::Sts, request_id),
    };
    let service = operation.service();
    let disturbance = {
        let mut state = sandbox.state();
        state.counts.ask(operation);
        fault::take(&mut state.faults, operation)
    };
    if !disturbance.delay.is_zero() {
        tokio::time::sleep(disturbance.delay).await;
    }
    let mut state = sandbox.state();
    let expired = match disturbance.kind {
        None | Some(FaultKind::Delay(_)) => false,
        Some(FaultKind::Expired) => true,
        Some(FaultKind::Garbage) => {
            state.counts.fail(operation, "(garbage)");
            return Outcome::Garbage;
        }
        Some(FaultKind::Huge) => {
            state.counts.fail(operation, "(huge)");
            return Outcome::Huge;
        }
        Some(FaultKind::Reset) => {
            state.counts.fail(operation, "(reset)");
            return Outcome::Reset;
        }
        Some(FaultKind::ServerError(status)) => {
            let refusal = server_error(status);
            state.counts.fail(operation, refusal.code);
            return document(&refusal, service, request_id);
        }
        Some(FaultKind::Throttling) => {
            let refusal = Refusal::bad_request("Throttling", "Rate exceeded");
            state.counts.fail(operation, refusal.code);
            return document(&refusal, service, request_id);
        }
    };
    let now = sandbox.now_in(&state);
    match operation::perform(&mut state, operation, received, &form, now, expired) {
        Ok(answer) => {
            state.counts.succeed(operation);
            Outcome::Document {
                status: StatusCode::OK,
                body: answer.document(operation, request_id),
            }
        }
        Err(refusal) => {
            state.counts.fail(operation, refusal.code);
            document(&refusal, service, request_id)
        }
    }
}

fn named_operation(received: Received<'_>) -> Result<(Form, Operation), Refusal> {
    let form = Form::read(received.headers, received.body)?;
    let action = form.text("Action").ok_or_else(|| {
        Refusal::bad_request(
            "MissingAction",
            "The request is missing an action or a required parameter.",
        )
    })?;
    let version = form.text("Version").unwrap_or("NO_VERSION_SPECIFIED");
    match Operation::named(action) {
        Some(operation) if version == operation.service().version() => Ok((form, operation)),
        Some(_) | None => Err(Refusal::bad_request(
            "InvalidAction",
            format!("Could not find operation {action} for version {version}"),
        )),
    }
}

fn server_error(status: u16) -> Refusal {
    let internal = Refusal::internal();
    let status = StatusCode::from_u16(status).unwrap_or(internal.status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let message = "The request has failed due to a temporary failure of the server.".to_owned();
        return Refusal { status, code: "ServiceUnavailable", message };
    }
    Refusal { status, ..internal }
}

fn document(refusal: &Refusal, service: Service, request_id: &str) -> Outcome {
    Outcome::Document { status: refusal.status, body: refusal.document(service, request_id) }
}
