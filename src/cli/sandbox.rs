//! `credbroker sandbox`: the strict STS alone, on a port of this machine.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit::{Complaint, Exit};
use crate::files;
use crate::model::Clock;
use crate::sandbox::{Sandbox, SandboxConfig};

/// Serves a sandbox at `address` until SIGINT or SIGTERM, and prints where it is and how to try it.
///
/// Without a configuration it holds the users and roles of the example that comes with the program. An address that
/// others than this machine reach is refused.
pub(super) fn run(config: Option<PathBuf>, address: SocketAddr) -> Result<Exit, Complaint> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| internal(&error))?.block_on(serve(config, address))?;
    Ok(Exit::Success)
}

async fn serve(config: Option<PathBuf>, address: SocketAddr) -> Result<(), Complaint> {
    if !address.ip().is_loopback() {
        let message = format!(
            "{address} is not an address of this machine alone; the sandbox listens on 127.0.0.1 or [::1]"
        );
        return Err(Complaint::new(Exit::Usage, message));
    }
    let configuration = |message: String| Complaint::new(Exit::Config, message);
    let loaded = match &config {
        Some(path) if !path.exists() => {
            return Err(configuration(format!(
                "{} does not exist; leave --config out for a built-in set, or begin with config/examples/sandbox.toml of credbroker's source",
                path.display()
            )));
        }
        Some(path) => SandboxConfig::load(path),
        None => SandboxConfig::parse(SandboxConfig::example()),
    };
    let sandbox =
        Sandbox::new(loaded.map_err(|fault| configuration(fault.to_string()))?, Clock::system());
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|error| {
        configuration(format!(
            "{address} cannot be listened on: {}; name another port, or 0 for a free one: --address 127.0.0.1:0",
            files::said(&error)
        ))
    })?;
    let stop = stop_signal().map_err(|error| internal(&error))?;
    let bound = listener.local_addr().map_err(|error| internal(&error))?;
    say_hello(bound, config.is_none()).map_err(|error| internal(&error))?;
    sandbox.serve(listener, stop).await;
    Ok(())
}

fn internal(error: &io::Error) -> Complaint {
    Complaint::new(Exit::Internal, format!("the sandbox cannot run here: {}", files::said(error)))
}

/// Ends with the first SIGINT or SIGTERM; both are caught from now on.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The first line names the address, for people and for scripts.
fn say_hello(address: SocketAddr, is_example: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "The sandbox answers at http://{address}\n")?;
    if is_example {
        writeln!(
            out,
            "It holds the users and roles of config/examples/sandbox.toml. In a second terminal:

  export AWS_ENDPOINT_URL_STS=http://{address} AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID={EXAMPLE_KEY} AWS_SECRET_ACCESS_KEY={EXAMPLE_SECRET}
  aws sts get-caller-identity
  aws sts assume-role --role-arn {EXAMPLE_ROLE} --role-session-name me

(an aws older than 1.29 or 2.13 wants --endpoint-url http://{address} instead of the variable)
"
        )?;
    }
    writeln!(
        out,
        "What it was asked:     curl http://{address}/_sandbox/state
Let the next 3 fail:   curl -d '{{\"kind\":\"throttling\",\"times\":3}}' http://{address}/_sandbox/faults
Set its clock ahead:   curl -d '{{\"offset\":\"+1h\"}}' http://{address}/_sandbox/clock

Ctrl-C ends it."
    )?;
    out.flush()
}

const EXAMPLE_KEY: &str = "AKIASANDBOXEXAMPLE22";

const EXAMPLE_SECRET: &str = "sandbox/EXAMPLEKEY/not/a/secret/demo0000";

const EXAMPLE_ROLE: &str = "arn:aws:iam::123456789012:role/Reader";

#[cfg(test)]
mod tests {
    use super::*;

    fn code(outcome: Result<(), Complaint>) -> (Exit, String) {
        let complaint = outcome.unwrap_err();
        (complaint.exit, complaint.message)
    }

    #[test]
    fn what_is_printed_is_in_the_example() {
        for text in [EXAMPLE_KEY, EXAMPLE_SECRET, "\"Reader\""] {
            assert!(SandboxConfig::example().contains(text), "{text}");
        }
    }

    #[tokio::test]
    async fn an_address_that_others_reach_is_refused() {
        let (code, message) = code(serve(None, "0.0.0.0:0".parse().unwrap()).await);
        assert_eq!(code, Exit::Usage);
        assert!(message.contains("127.0.0.1"), "{message}");
    }

    #[tokio::test]
    async fn a_taken_port_and_a_missing_file_are_faults_of_the_configuration() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port_code, message) = code(serve(None, taken.local_addr().unwrap()).await);
        assert_eq!(port_code, Exit::Config);
        assert!(
            message.contains("cannot be listened on: Address already in use; name"),
            "{message}"
        );
        let missing = Some(PathBuf::from("missing/sandbox.toml"));
        let (file_code, message) = code(serve(missing, "127.0.0.1:0".parse().unwrap()).await);
        assert_eq!(file_code, Exit::Config);
        assert!(message.starts_with("missing/sandbox.toml does not exist; leave --config out"));
    }
}
