//! The words of the audit log, and all the values each field of a fixed set may have.

use std::fmt;

/// An enum whose variants are all the values of one field.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every variant.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The field's value.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

words! {
    /// What was done. The value of `act`.
    Act {
        /// Somebody signed in.
        SignedIn = "signed_in",
        /// Somebody came back from the provider, and did not get in; the rules aside.
        SignInFailed = "sign_in_failed",
        /// A rule refused somebody whom the provider vouches for.
        Denied = "denied",
        /// A person ended their session in the browser they sit at.
        SignedOut = "signed_out",
        /// Sessions were ended from elsewhere.
        Ended = "sessions_ended",
        /// Sessions were listed.
        Listed = "sessions_listed",
        /// One session was looked at.
        Shown = "session_shown",
        /// A device is about to join.
        Registration = "device_registration",
        /// An SSH session is about to begin.
        SshCheck = "ssh_check",
        /// A device got another name, by its person or an administrator.
        DeviceRenamed = "device_renamed",
        /// A device was signed out.
        DeviceExpired = "device_expired",
        /// A device was removed.
        DeviceRemoved = "device_removed",
        /// Headscale's API was asked to change something.
        ApiWrite = "api_write",
        /// The key of Headscale's API was renewed.
        KeyRenewed = "api_key_renewed",
        /// The configuration was read again.
        Reloaded = "configuration_reloaded",
        /// A person is to be off-boarded.
        OffboardingDue = "offboarding_due",
        /// There were too many: an operator is to look first.
        OffboardingHeld = "offboarding_held",
        /// A person is not to be off-boarded after all.
        OffboardingDropped = "offboarding_dropped",
        /// Who is to be off-boarded was listed.
        OffboardingListed = "offboarding_listed",
        /// An operator has looked at one who was held.
        OffboardingConfirmed = "offboarding_confirmed",
        /// A person was off-boarded: none of their devices is left.
        OffboardingDone = "offboarding_done",
        /// The provider's groups were written into the policy of the tailnet.
        PolicyWritten = "policy_written",
    }
}

impl Act {
    /// The words of its line.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::SignedIn => "signed in",
            Self::SignInFailed => "sign-in failed",
            Self::Denied => "denied by a rule",
            Self::SignedOut => "signed out",
            Self::Ended => "sessions ended",
            Self::Listed => "sessions listed",
            Self::Shown => "session shown",
            Self::Registration => "device registration",
            Self::SshCheck => "ssh check",
            Self::DeviceRenamed => "device renamed",
            Self::DeviceExpired => "device expired",
            Self::DeviceRemoved => "device removed",
            Self::ApiWrite => "api write",
            Self::KeyRenewed => "api key renewed",
            Self::Reloaded => "configuration reloaded",
            Self::OffboardingDue => "off-boarding due",
            Self::OffboardingHeld => "off-boarding held",
            Self::OffboardingDropped => "off-boarding dropped",
            Self::OffboardingListed => "off-boarding listed",
            Self::OffboardingConfirmed => "off-boarding confirmed",
            Self::OffboardingDone => "off-boarding done",
            Self::PolicyWritten => "policy written",
        }
    }
}

words! {
    /// How it ended. The value of `outcome`.
    Outcome {
        /// It was done.
        Done = "done",
        /// It was refused: by a rule, or by Headscale with a 4xx.
        Refused = "refused",
        /// It was allowed, and something broke.
        Failed = "failed",
        /// It would have been done: only what would be is said.
        DryRun = "dry_run",
        /// Nobody heard how it ended: the request was over before its answer.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// How a request ended that was answered with `status`; none, if it was not.
    pub const fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(..400) => Self::Done,
            Some(400..500) => Self::Refused,
            Some(500..) => Self::Failed,
            None => Self::Unknown,
        }
    }
}

words! {
    /// Which sessions were asked for. The value of `scope`.
    Scope {
        /// One, by its id.
        Session = "session",
        /// Those of one subject.
        Subject = "subject",
        /// Those of whoever has a user name or an e-mail address.
        User = "user",
        /// A person's own but the one they sit at.
        Others = "others",
        /// Every one there is.
        All = "all",
    }
}

words! {
    /// How far a device or an SSH check has come. The value of `step`.
    Step {
        /// Its link was passed on to Headscale.
        LinkPassedOn = "link_passed_on",
        /// The person confirmed it on our page.
        Confirmed = "confirmed",
        /// Headscale got a code that names the person.
        CodeIssued = "code_issued",
        /// The person's answer to Headscale's own question was passed on.
        ApprovalPassedOn = "approval_passed_on",
    }
}

words! {
    /// Why sessions ended. The value of `reason` of [`Act::Ended`].
    EndReason {
        /// The provider does not vouch for the person any more.
        RecheckRefused = "recheck_refused",
        /// What the provider said at a re-check cannot be believed.
        RecheckMisbehaved = "recheck_misbehaved",
        /// A re-check found a right gone.
        LostRight = "lost_right",
        /// A logout token of the provider's.
        BackChannel = "back_channel",
        /// A frame of the provider's page.
        FrontChannel = "front_channel",
        /// An operator.
        Operator = "operator",
        /// The person, from another session.
        Person = "person",
    }
}

words! {
    /// Why somebody is not to be off-boarded after all. The value of `reason` of
    /// [`Act::OffboardingDropped`].
    DropReason {
        /// The person signed in again, or the provider vouches for them.
        Back = "back",
        /// An operator.
        Operator = "operator",
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The person whose sessions these are, with a browser.
    Person,
    /// Whoever has a key of Headscale's API.
    ApiKey,
    /// The identity provider.
    Provider,
    /// Headwarden itself, by a rule of the configuration.
    Headwarden,
    /// A user of this machine, over the operator's socket; the kernel says who.
    LocalUser(u32),
    /// Whoever reached the operator's listener.
    AdminListener,
    /// Whoever may send us a signal.
    Signal,
    /// Whoever may write the configuration's files.
    File,
}

impl fmt::Display for Actor {
    /// The value of `by`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("person"),
            Self::ApiKey => f.write_str("api_key"),
            Self::Provider => f.write_str("provider"),
            Self::Headwarden => f.write_str("headwarden"),
            Self::LocalUser(uid) => write!(f, "uid:{uid}"),
            Self::AdminListener => f.write_str("admin_listener"),
            Self::Signal => f.write_str("signal"),
            Self::File => f.write_str("file"),
        }
    }
}
