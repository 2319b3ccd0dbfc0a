//! The labels, and all the values each may have.

use crate::domain::login::AttemptKind;
use crate::domain::policy::Denial;

/// An enum whose variants are all the values of one label.
macro_rules! label {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            pub(crate) const ALL: &'static [&'static str] = &[$($text),+];

            /// The label's value.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}
pub(super) use label;

label! {
    /// Why the policy of the tailnet does not have the groups that it should have.
    SyncFailure {
        /// Nobody knows who is in which group: the file, or the store that replicas share.
        State = "state",
        /// Headscale does not answer, or not to this key.
        Headscale = "headscale",
        /// The policy cannot have them, as it is.
        Policy = "policy",
        /// Headscale does not take it.
        Rejected = "rejected",
        /// Headscale's policy is a file.
        FileMode = "file_mode",
        /// Somebody else keeps writing it.
        Changed = "changed",
    }
}

/// Why somebody is in none of their groups.
pub(super) const LEFT_OUT: &[&str] = &["unknown", "ambiguous", "subject"];

label! {
    /// Why a person went to the provider.
    SignIn {
        /// To have a session.
        Session = "session",
        /// To approve an SSH check.
        StepUp = "step_up",
        /// To be somebody else.
        Switch = "switch",
    }
}

impl From<&AttemptKind> for SignIn {
    fn from(kind: &AttemptKind) -> Self {
        match kind {
            AttemptKind::SignIn => Self::Session,
            AttemptKind::StepUp { .. } => Self::StepUp,
            AttemptKind::SwitchUser => Self::Switch,
        }
    }
}

label! {
    /// Why a sign-in did not end in a session, the rules aside.
    CallbackFailure {
        /// No cookie of the attempt.
        Cookie = "cookie",
        /// `state` absent, twice, or not the attempt's.
        State = "state",
        /// Begun too long ago.
        Expired = "expired",
        /// Answered before.
        Used = "used",
        /// Another issuer answered (RFC 9207).
        Issuer = "issuer",
        /// The provider answered `error=`.
        Provider = "provider_error",
        /// The provider could not be reached.
        Unavailable = "provider_unavailable",
        /// The token endpoint refused the code.
        Code = "code",
        /// The ID token or userinfo did not verify.
        Token = "token",
        /// A step-up by another person, or not fresh.
        StepUp = "step_up",
        /// The provider ended its session while it was on its way.
        SignedOut = "signed_out",
    }
}

label! {
    /// What was done to a device by our own pages.
    DeviceChange {
        /// It has another name.
        Renamed = "renamed",
        /// It is signed out.
        Expired = "expired",
        /// It is removed.
        Removed = "removed",
    }
}

label! {
    /// By whom.
    DeviceHand {
        /// The person whose device it is.
        Owner = "owner",
        /// An administrator.
        Admin = "admin",
    }
}

label! {
    /// What became of it.
    ChangeOutcome {
        /// It was done.
        Done = "done",
        /// Headscale does not want it so.
        Refused = "refused",
        /// Headscale did not answer, or not as it should.
        Failed = "failed",
    }
}

label! {
    /// Why a connection to a listener that wants a PROXY header was closed.
    ProxyHeader {
        /// It came from nobody that is trusted.
        Untrusted = "untrusted",
        /// The header was absent, malformed or changed.
        Malformed = "malformed",
        /// The header did not arrive in time.
        Slow = "slow",
    }
}

label! {
    /// Which way a logout came.
    Logout {
        /// A person's, by our own form.
        Person = "person",
        /// The provider's, by a logout token.
        BackChannel = "back_channel",
        /// The provider's, through a browser.
        FrontChannel = "front_channel",
    }
}

label! {
    /// What became of a logout.
    LogoutOutcome {
        /// A session ended, or several.
        Ended = "ended",
        /// There was none to end.
        Nothing = "nothing",
        /// It was not the provider's word, or not for the first time.
        Refused = "refused",
        /// Keys or sessions could not be looked up.
        Unavailable = "unavailable",
    }
}

label! {
    /// Which rule refused a person.
    Rule {
        /// In none of the allowed groups.
        Group = "group",
        /// E-mail domain not allowed.
        Domain = "domain",
        /// Not an allowed user.
        User = "user",
        /// E-mail not verified.
        UnverifiedEmail = "unverified_email",
        /// A user name that Headscale would refuse.
        Username = "username",
        /// The rules of one set of paths.
        Page = "page",
        /// No role on the API for this method.
        ApiRole = "api_role",
    }
}

impl From<&Denial> for Rule {
    fn from(denial: &Denial) -> Self {
        match denial {
            Denial::Group { .. } => Self::Group,
            Denial::Domain { .. } => Self::Domain,
            Denial::User { .. } => Self::User,
            Denial::UnverifiedEmail { .. } => Self::UnverifiedEmail,
        }
    }
}

label! {
    /// How a re-check of a person at the provider ended.
    Refresh {
        /// The person may still pass.
        Confirmed = "confirmed",
        /// A rule refuses the person now.
        LostRight = "lost_right",
        /// The provider refused.
        Refused = "refused",
        /// The provider's answer cannot be believed.
        Misbehaving = "misbehaving",
        /// No usable answer.
        Unavailable = "unavailable",
        /// Another replica was faster.
        Elsewhere = "elsewhere",
    }
}

label! {
    /// A bound on one client address that was hit.
    Limit {
        /// Concurrent connections.
        Connections = "connections",
        /// New tunnels a minute.
        Tunnels = "tunnels",
        /// Requests a minute through open doors.
        OpenRequests = "open_requests",
        /// Requests a minute to the API with credentials that Headscale checks.
        ApiRequests = "api_requests",
        /// Sign-ins begun a minute.
        SignIns = "sign_ins",
        /// Callbacks a minute.
        Callbacks = "callbacks",
        /// Requests a minute about a device or an SSH check.
        Registrations = "registrations",
        /// Logouts a minute from the provider's side.
        Logouts = "logouts",
        /// Failed client authentication at the issuer.
        IssuerClient = "issuer_client",
        /// A request head that did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// Frames of HTTP/2 that cost a client nothing, or requests broken off.
        Http2 = "http2",
    }
}

label! {
    /// Why a request was refused before it was known what it asks for.
    Refused {
        /// Its head did not arrive in time: 408.
        Slow = "slow",
        /// Its head is too large: 431.
        Large = "large",
        /// Its target is too long: 414.
        TargetTooLong = "target_too_long",
        /// Its target is not canonical: 400.
        Target = "target",
        /// Its head can be read in more than one way, or not at all: 400.
        Malformed = "malformed",
        /// The framing of its body is wrong: 400.
        Body = "body",
    }
}

label! {
    /// What the shared session store was asked for.
    StoreOperation {
        /// A value.
        Read = "read",
        /// To write, take or remove one.
        Write = "write",
        /// About the lists of sessions.
        Index = "index",
        /// To tell the other replicas something.
        Publish = "publish",
        /// To be told.
        Subscribe = "subscribe",
    }
}

label! {
    /// What the provider was asked for.
    Endpoint {
        /// Its metadata.
        Discovery = "discovery",
        /// Its keys.
        Keys = "keys",
        /// To redeem a code.
        Token = "token",
        /// To refresh, at a re-check.
        Refresh = "refresh",
        /// The person's claims.
        Userinfo = "userinfo",
    }
}

label! {
    /// How a question to the provider ended.
    Answer {
        /// With a 2xx that is not too large.
        Answered = "answered",
        /// With a 4xx.
        Refused = "refused",
        /// With something else, or not at all.
        Failed = "failed",
    }
}

label! {
    /// How a tunnel ended.
    TunnelEnd {
        /// Both sides said so.
        Closed = "closed",
        /// One connection broke.
        Broken = "broken",
        /// The process was stopped.
        Cut = "cut",
    }
}

label! {
    /// What became of a span.
    Spans {
        /// The collector took it.
        Sent = "sent",
        /// The collector did not take it.
        NotTaken = "not_taken",
        /// There was no place in the queue.
        Overflowed = "overflowed",
    }
}

label! {
    /// A check of readiness.
    Check {
        /// The process has begun to serve.
        Startup = "startup",
        /// The process is not stopping.
        Shutdown = "shutdown",
        /// The provider is known.
        Provider = "provider",
        /// Headscale is healthy.
        Headscale = "headscale",
        /// Headscale trusts our issuer, where it should.
        HeadscaleOidc = "headscale_oidc",
        /// The session store answers, where there is one.
        SessionStore = "session_store",
        /// The certificates of the listeners are good.
        Certificates = "certificates",
        /// Those that are ordered arrive.
        Acme = "acme",
    }
}

label! {
    /// Which way relayed bytes went.
    Direction {
        /// From the client to the upstream.
        Up = "up",
        /// From the upstream to the client.
        Down = "down",
    }
}

/// The values of `Door::label`.
pub(super) const DOORS: &[&str; 6] = &["machine", "open", "own", "api", "guarded", "closed"];
/// The values of `Tunnel::label`.
pub(super) const TUNNELS: &[&str] = &["control", "control_websocket", "derp", "derp_websocket"];
/// The classes of status codes.
pub(super) const CLASSES: &[&str; 5] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

label! {
    /// Why a TLS handshake came to nothing.
    Handshake {
        /// It was not complete in time.
        Timeout = "timeout",
        /// The client closed the connection, or broke it.
        Gone = "gone",
        /// No version, cipher suite or protocol in common.
        Incompatible = "incompatible",
        /// The client showed no certificate where one is required.
        NoClientCertificate = "no_client_certificate",
        /// The client's certificate is not good.
        ClientCertificate = "client_certificate",
        /// We have no certificate yet.
        NoCertificate = "no_certificate",
        /// The client refused ours, or something else about it.
        Alert = "alert",
        /// Not TLS, or a handshake that is wrong.
        Broken = "broken",
    }
}

label! {
    /// What became of a renewal of the key of Headscale's API.
    KeyRenewed {
        /// A new key is in the file and in use.
        Done = "done",
        /// The key is the one before, or has ended.
        Failed = "failed",
    }
}

label! {
    /// What became of an order at the ACME directory.
    Order {
        /// A certificate came.
        Issued = "issued",
        /// None did.
        Failed = "failed",
    }
}
