//! Header compression (RFC 7541) as far as the rig needs it: it writes every field out in full, so that a
//! test can say what no library would, and reads what a server may answer.

/// RFC 7541 appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Bits of the code of each octet, then of the end (RFC 7541 appendix B). The code is canonical: these
/// say it all.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// A field with its value, neither indexed nor compressed.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x10];
    for text in [name, value] {
        integer(text.len(), 7, &mut bytes);
        bytes.extend_from_slice(text);
    }
    bytes
}

/// RFC 7541 section 5.1, with the first bits zero.
fn integer(number: usize, bits: u32, into: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        into.push(u8::try_from(number).expect("a few bits"));
        return;
    }
    into.push(u8::try_from(most).expect("a few bits"));
    let mut rest = number - most;
    while rest >= 128 {
        into.push(u8::try_from(rest % 128 + 128).expect("eight bits"));
        rest /= 128;
    }
    into.push(u8::try_from(rest).expect("seven bits"));
}

/// Reads the field sections of one connection, in order.
#[derive(Default)]
pub(crate) struct Decoder {
    /// The newest first.
    dynamic: Vec<(String, String)>,
}

/// What is left of a field section.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn integer(&mut self, bits: u32) -> usize {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()) & most;
        if number == most {
            let mut shift = 0;
            loop {
                let byte = usize::from(self.byte());
                number += (byte & 127) << shift;
                shift += 7;
                if byte < 128 {
                    break;
                }
            }
        }
        number
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("a whole field section");
        self.0 = rest;
        *first
    }

    fn text(&mut self) -> String {
        let huffman = self.0.first().is_some_and(|byte| byte & 128 != 0);
        let length = self.integer(7);
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        let plain = if huffman { unpack(text) } else { text.to_vec() };
        String::from_utf8_lossy(&plain).into_owned()
    }
}

impl Decoder {
    /// The fields, in order.
    pub(crate) fn decode(&mut self, section: &[u8]) -> Vec<(String, String)> {
        let mut bytes = Bytes(section);
        let mut fields = Vec::new();
        while let Some(first) = bytes.0.first() {
            if first & 0x80 != 0 {
                let index = bytes.integer(7);
                fields.push(self.entry(index));
            } else if first & 0x40 != 0 {
                let field = self.named(&mut bytes, 6);
                self.dynamic.insert(0, field.clone());
                fields.push(field);
            } else if first & 0x20 != 0 {
                let size = bytes.integer(5);
                if size == 0 {
                    self.dynamic.clear();
                }
            } else {
                let field = self.named(&mut bytes, 4);
                fields.push(field);
            }
        }
        fields
    }

    fn named(&self, bytes: &mut Bytes<'_>, bits: u32) -> (String, String) {
        let name = match bytes.integer(bits) {
            0 => bytes.text(),
            index => self.entry(index).0,
        };
        (name, bytes.text())
    }

    fn entry(&self, index: usize) -> (String, String) {
        match STATIC.get(index - 1) {
            Some((name, value)) => ((*name).to_owned(), (*value).to_owned()),
            None => self.dynamic[index - 1 - STATIC.len()].clone(),
        }
    }
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let mut plain = Vec::new();
    let bits = packed
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u64::from(byte >> at & 1)));
    let (mut code, mut length) = (0, 0);
    for bit in bits {
        code = code << 1 | bit;
        length += 1;
        if let Some(symbol) = symbol(&order, code, length) {
            plain.push(u8::try_from(symbol).expect("the end is not sent"));
            (code, length) = (0, 0);
        }
    }
    plain
}

fn symbol(order: &[usize], wanted: u64, length: u8) -> Option<usize> {
    let (mut code, mut last) = (0_u64, LENGTHS[order[0]]);
    for (at, symbol) in order.iter().enumerate() {
        if at > 0 {
            code = (code + 1) << (LENGTHS[*symbol] - last);
            last = LENGTHS[*symbol];
        }
        if last > length {
            return None;
        }
        if last == length && code == wanted {
            return Some(*symbol);
        }
    }
    None
}
