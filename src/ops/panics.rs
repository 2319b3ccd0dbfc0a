//! A panic as one line of the log. It ends the request it happened in and no other, and what it was
//! about to say may hold whatever that request did: so only where it happened is told, and the
//! message if it is one that stands in the program's text.

use std::any::Any;
use std::panic;

/// From now on, a panic is an event like any other instead of several lines on standard error.
pub fn report_in_log() {
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(ToString::to_string);
        tracing::error!(
            place = place.unwrap_or_default(),
            reason = told(panicked.payload()),
            "a request ended by a mistake in the program"
        );
    }));
}

/// A formatted message is withheld: it could hold any value.
fn told(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(withheld)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(panics: fn()) -> Box<dyn Any + Send> {
        panic::catch_unwind(panics).unwrap_err()
    }

    #[test]
    fn a_panic_tells_what_stands_in_the_program_and_nothing_that_was_put_into_it() {
        assert_eq!(told(&*payload(|| panic!("as it stands"))), "as it stands");
        let formatted = payload(|| {
            let token = std::hint::black_box("s3cret");
            panic!("with {token}")
        });
        assert_eq!(told(&*formatted), "(withheld)");
        let unwrapped = payload(|| {
            let failed: Result<(), String> = std::hint::black_box(Err("s3cret".to_owned()));
            failed.unwrap();
        });
        assert_eq!(told(&*unwrapped), "(withheld)");
        assert_eq!(told(&*payload(|| panic::panic_any(7_u8))), "(withheld)");
    }
}
