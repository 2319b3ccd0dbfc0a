//! Sets of methods, as `access` rules name them. `GET` always comes with `HEAD`, which is the same
//! question (RFC 9110 section 9.3.2).

use std::fmt;

/// Those that a door may take, in the order in which they are told.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// A set of [`METHODS`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// Every method.
    pub const ALL: Self = Self(0b111_1111);
    /// None.
    pub const NONE: Self = Self(0);

    /// The set of `method` alone; with `HEAD` for `GET`. `None` for what is none of [`METHODS`], byte
    /// for byte (RFC 9110 section 9.1).
    pub fn parse(method: &str) -> Option<Self> {
        let bit = bit(method)?;
        Some(if method == "GET" {
            Self(bit | bit << 1)
        } else {
            Self(bit)
        })
    }

    /// What is in one of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this one alone.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `method` is in it.
    pub fn has(self, method: &str) -> bool {
        bit(method).is_some_and(|bit| self.0 & bit != 0)
    }
}

fn bit(method: &str) -> Option<u8> {
    let place = METHODS.iter().position(|known| *known == method)?;
    Some(1 << place)
}

impl fmt::Display for Methods {
    /// As in `Allow` (RFC 9110 section 10.2.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = METHODS.into_iter().filter(|it| self.has(it)).collect();
        f.write_str(&all.join(", "))
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_comes_with_head_and_every_other_method_is_itself() {
        let one = |method| Methods::parse(method).unwrap();
        assert_eq!(one("GET").to_string(), "GET, HEAD");
        assert_eq!(one("HEAD").to_string(), "HEAD");
        assert!(one("GET").has("HEAD") && !one("HEAD").has("GET"));
        for method in METHODS {
            assert!(Methods::ALL.has(method) && !Methods::NONE.has(method));
            assert!(one(method).has(method), "{method}");
        }
        let other = "PRI".repeat(70);
        for none in ["get", "GETX", "", "TRACE", "CONNECT", "PRI", "GET ", &other] {
            assert_eq!(Methods::parse(none), None, "{none}");
            assert!(!Methods::ALL.has(none), "{none}");
        }
    }

    #[test]
    fn sets_are_added_and_taken_away() {
        let (read, post) = (
            Methods::parse("GET").unwrap(),
            Methods::parse("POST").unwrap(),
        );
        let both = read.and(post);
        assert_eq!(both.to_string(), "GET, HEAD, POST");
        assert_eq!(both.without(read), post);
        assert_eq!(both.common(post), post);
        assert!(read.without(Methods::ALL).is_empty() && read.common(post).is_empty());
        assert_eq!(format!("{:?}", Methods::NONE), "[]");
    }
}
