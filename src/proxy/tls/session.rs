//! rustls's own state machine, worked off until it wants something of the peer.

use bytes::BytesMut;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{CommonState, Error};

/// Either side of a connection, as rustls has it.
pub trait Session {
    /// What rustls tells the sides apart by.
    type Data;

    /// See [`UnbufferedServerConnection`]'s method of the same name.
    fn process_tls_records<'c, 'i>(
        &'c mut self,
        came: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// What both sides have in common.
    fn state(&self) -> &CommonState;
}

impl Session for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process_tls_records<'c, 'i>(
        &'c mut self,
        came: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        (**self).process_tls_records(came)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Session for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process_tls_records<'c, 'i>(
        &'c mut self,
        came: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        (**self).process_tls_records(came)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

/// What came of working something off.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// So many bytes are not needed again.
    pub(super) done: usize,
    /// The peer said that nothing more comes.
    pub(super) farewell: bool,
}

/// Lets `session` work off `came` until it can do nothing more with it. What it wants to say is added to
/// `outgoing`, what it opens is given to `opened`, and when bytes can be sealed, `traffic` may do so.
///
/// # Errors
/// rustls's own; the alert about it is in `outgoing` then.
pub(super) fn work_off<S: Session>(
    session: &mut S,
    came: &mut [u8],
    outgoing: &mut BytesMut,
    opened: &mut dyn FnMut(&[u8]),
    traffic: &mut dyn FnMut(&mut WriteTraffic<'_, S::Data>),
) -> Result<Worked, Error> {
    let mut worked = Worked::default();
    loop {
        let came = came.get_mut(worked.done..).unwrap_or_default();
        let UnbufferedStatus { mut discard, state } = session.process_tls_records(came);
        let idle = match state {
            Ok(ConnectionState::EncodeTlsData(record)) => {
                encode(record, outgoing)?;
                false
            }
            Ok(ConnectionState::TransmitTlsData(record)) => {
                // It goes out before anything else does.
                record.done();
                false
            }
            Ok(ConnectionState::ReadTraffic(mut records)) => {
                while let Some(record) = records.next_record() {
                    let record = record?;
                    discard += record.discard;
                    opened(record.payload);
                }
                false
            }
            Ok(ConnectionState::PeerClosed) => {
                worked.farewell = true;
                false
            }
            Ok(ConnectionState::WriteTraffic(mut state)) => {
                traffic(&mut state);
                true
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => true,
            // Bytes before the handshake are allowed by no configuration of ours.
            Ok(_) => return Err(Error::General("early data".to_owned())),
            Err(error) => {
                last_words(session, came, outgoing);
                return Err(error);
            }
        };
        worked.done += discard;
        if idle {
            return Ok(worked);
        }
    }
}

/// The alert about what was just wrong. rustls would look at `came` once more after that, and must not.
fn last_words<S: Session>(session: &mut S, came: &mut [u8], outgoing: &mut BytesMut) {
    while session.state().wants_write() {
        let Ok(ConnectionState::EncodeTlsData(record)) = session.process_tls_records(came).state
        else {
            return;
        };
        if encode(record, outgoing).is_err() {
            return;
        }
    }
}

fn encode<D>(mut record: EncodeTlsData<'_, D>, into: &mut BytesMut) -> Result<(), Error> {
    let size = match record.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            required_size
        }
        Ok(_) | Err(EncodeError::AlreadyEncoded) => 0,
    };
    let before = into.len();
    into.resize(before + size, 0);
    let space = into.get_mut(before..).unwrap_or_default();
    match record.encode(space) {
        Ok(_) => Ok(()),
        Err(why) => Err(Error::General(why.to_string())),
    }
}
