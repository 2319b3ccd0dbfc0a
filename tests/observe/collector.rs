//! A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, reads it with the messages of the
//! standard itself, and answers well or badly.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(5);

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Well,
    /// With this status, and a secret of its own.
    Status(u16),
    /// With a body without end.
    Endless,
    /// Not at all.
    Silent,
    /// There is nobody.
    Away,
}

/// One request that it got.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) head: String,
    pub(crate) request: ExportTraceServiceRequest,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let posts: Arc<Mutex<Vec<Post>>> = Arc::default();
        let taken = Arc::clone(&posts);
        // Where nobody is to be there, its socket goes with the thread.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                std::thread::spawn(move || serve(stream, manner, &taken));
            }
        });
        if manner == Manner::Away {
            let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = gone.local_addr().expect("it is bound");
            return Self { address, posts };
        }
        Self { address, posts }
    }

    /// The lines of a configuration that send everything here.
    pub(crate) fn config(&self, more: &str) -> String {
        format!(
            "tracing: {{ otlp_endpoint: \"http://{}\", sample_one_in: 1{more} }}\n",
            self.address
        )
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("nobody panicked").clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        let posts = self.posts().into_iter();
        posts
            .flat_map(|post| post.request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// Waits for a span of this name with this attribute.
    pub(crate) fn wait_for(&self, name: &str, key: &str, value: &str) -> Span {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.spans();
            let wanted = |span: &&Span| span.name == name && text(span, key) == value;
            if let Some(span) = all.iter().find(wanted) {
                return span.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no {name} {key}={value} in {all:#?}"
            );
            std::thread::park_timeout(LOOK);
        }
    }
}

/// An attribute as text; empty when it is not there.
pub(crate) fn text(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|pair| pair.key == key);
    match found.and_then(|pair| pair.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key}: {other:?}"),
        None => String::new(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(stream: TcpStream, manner: Manner, posts: &Mutex<Vec<Post>>) {
    let mut writer = stream.try_clone().expect("a socket");
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        let mut body = vec![0; length.expect("a length")];
        reader.read_exact(&mut body).expect("a body");
        let request =
            ExportTraceServiceRequest::decode(body.as_slice()).expect("a request of OTLP");
        posts
            .lock()
            .expect("nobody panicked")
            .push(Post { head, request });
        let answer = match manner {
            Manner::Well => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Manner::Status(status) => {
                format!("HTTP/1.1 {status} No\r\nContent-Length: 19\r\n\r\nthe-collectors-word")
            }
            Manner::Endless => "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
            Manner::Silent | Manner::Away => continue,
        };
        let mut sent = writer.write_all(answer.as_bytes());
        while manner == Manner::Endless && sent.is_ok() {
            sent = writer.write_all(&[b'x'; 8192]);
        }
        if sent.is_err() {
            return;
        }
    }
}
