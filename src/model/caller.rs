//! Who is asking.

/// A process that asks for something: what the kernel, or a ticket, says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user id, where something vouches for it.
    pub uid: Option<u32>,
    /// The process id, where the kernel tells it; for the audit only, since ids are reused.
    pub pid: Option<i32>,
    /// By which door it came.
    pub channel: Channel,
}

/// A door by which callers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The container endpoint: a ticket names the user and the profile.
    Container,
    /// The control socket: the kernel names the user.
    Control,
    /// An IMDS endpoint: any local process that fetches a token, as on EC2.
    Imds,
    /// A metrics endpoint: any local process.
    Metrics,
}
