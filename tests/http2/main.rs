//! HTTP/2 from clients: by ALPN over TLS, and by prior knowledge where an operator allows it on plaintext.
//! Each request goes the way that one of HTTP/1.1 goes; what is hostile about it is in the crate `hostile`.

#![cfg(test)]

#[expect(dead_code, reason = "another test crate uses the rest of its faults")]
#[path = "../support/faulty_provider/mod.rs"]
mod faulty_provider;
#[expect(dead_code, reason = "another test crate uses the rest of its words")]
#[path = "../gate/stage.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod ending;
mod grpc;
mod peers;
mod serving;
