//! Follows Redis' replies as they come in, and refuses those that no answer of ours can be before they are there.

use super::value;

/// Longest reply in bytes, with all that it announces: the longest value that is read back, and as much again several times
/// for what a server says of itself when it is logged in to.
const MOST_BYTES: u64 = 4 * value::MOST_BYTES.unsigned_abs() as u64;

/// Bytes of the shortest value: its type and the end of its line.
const FEWEST_BYTES: u64 = 3;

/// Longest length in digits, with sign and white space.
const LONGEST_NUMBER: usize = 24;

/// Why a reply was refused, and with it the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it announces or sends a reply of more than {MOST_BYTES} bytes, which no kept answer has")]
    TooLong,
    #[error("it sends messages that nobody asked for")]
    Unasked,
    #[error("what it sends is not Redis' protocol")]
    NotRedis,
}

/// Where in a reply the stream stands: <https://redis.io/docs/latest/develop/reference/protocol-spec/>. A reply is a value, and
/// a value a line, a line and as many bytes as it says, or a line and as many values as it says.
pub(super) struct Replies {
    part: Part,
    /// Bytes of this reply so far, those of an announced text included.
    bytes: u64,
    /// Values of this reply that have not begun.
    to_come: u64,
    /// What the line says that is read, where that is a number.
    number: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Part {
    /// Before a value.
    Type,
    /// In the line of a value of this type.
    Line {
        kind: u8,
        /// Its last byte was a carriage return.
        ends: bool,
    },
    /// In a text, of which so many bytes are left, the end of the line behind them included.
    Text(u64),
}

impl Replies {
    pub(super) fn new() -> Self {
        Self { part: Part::Type, bytes: 0, to_come: 1, number: Vec::new() }
    }

    /// Follows bytes that were read, until one is too many.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while let [byte, rest @ ..] = bytes {
            bytes = rest;
            match self.part {
                Part::Type => self.begin(*byte)?,
                Part::Line { kind, ends } => {
                    self.count(1)?;
                    match byte {
                        b'\n' if ends => self.end_line(kind)?,
                        _ => self.go_on(kind, *byte)?,
                    }
                }
                Part::Text(left) => {
                    // This byte, and as many of the others as belong to it. They were counted as they were announced.
                    let others = (left - 1).min(rest.len() as u64);
                    bytes = &rest[usize::try_from(others).unwrap_or(rest.len())..];
                    match left - 1 - others {
                        0 => self.end_value(),
                        left => self.part = Part::Text(left),
                    }
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8) -> Result<(), Refusal> {
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' | b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'|' => {}
            // No channel is subscribed to, and no key is tracked.
            b'>' => return Err(Refusal::Unasked),
            _ => return Err(Refusal::NotRedis),
        }
        self.to_come -= 1;
        self.number.clear();
        self.part = Part::Line { kind, ends: false };
        self.count(1)
    }

    fn go_on(&mut self, kind: u8, byte: u8) -> Result<(), Refusal> {
        if has_number(kind) && byte != b'\r' {
            self.number.push(byte);
            if self.number.len() > LONGEST_NUMBER {
                return Err(Refusal::NotRedis);
            }
        }
        self.part = Part::Line { kind, ends: byte == b'\r' };
        Ok(())
    }

    /// At the end of a line: what it announces.
    fn end_line(&mut self, kind: u8) -> Result<(), Refusal> {
        if !has_number(kind) {
            self.end_value();
            return Ok(());
        }
        // As the library reads it.
        let number = str::from_utf8(&self.number).ok().and_then(|number| number.trim().parse::<i64>().ok());
        let number = number.ok_or(Refusal::NotRedis)?;
        let values = match (kind, u64::try_from(number)) {
            (b'$' | b'!' | b'=', Ok(length)) => {
                let length = length.saturating_add(2);
                self.part = Part::Text(length);
                return self.count(length);
            }
            (b'*' | b'~', Ok(values)) => values,
            (b'%', Ok(pairs)) => pairs.saturating_mul(2),
            // Attributes stand before the value that they are of.
            (b'|', Ok(pairs)) => pairs.saturating_mul(2).saturating_add(1),
            // Nothing, as the older protocol says it.
            (b'$' | b'*' | b'~', Err(_)) => 0,
            _ => return Err(Refusal::NotRedis),
        };
        self.to_come = self.to_come.saturating_add(values);
        self.count(0)?;
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.part = Part::Type;
        if self.to_come == 0 {
            (self.bytes, self.to_come) = (0, 1);
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes);
        let least = self.bytes.saturating_add(self.to_come.saturating_mul(FEWEST_BYTES));
        if least > MOST_BYTES { Err(Refusal::TooLong) } else { Ok(()) }
    }
}

/// Whether the line of such a value is the number of what follows.
fn has_number(kind: u8) -> bool {
    matches!(kind, b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'|')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream of these bytes comes to, however it is cut.
    fn passed(bytes: &[u8]) -> Result<(), Refusal> {
        let whole = Replies::new().pass(bytes);
        for size in [1, 2, 7] {
            let mut replies = Replies::new();
            let cut = bytes.chunks(size).try_for_each(|chunk| replies.pass(chunk));
            assert_eq!(cut, whole, "in parts of {size}: {}", String::from_utf8_lossy(bytes));
        }
        whole
    }

    #[test]
    fn what_a_server_says_passes() {
        let value = "x".repeat(value::MOST_BYTES.unsigned_abs() + 1);
        let longest = format!("${}\r\n{value}\r\n", value.len());
        for reply in [
            "+OK\r\n",
            "-ERR unknown subcommand 'SETINFO'. Try CLIENT HELP.\r\n",
            "+a \r alone\r\n",
            ":-5\r\n",
            "$0\r\n\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "_\r\n",
            ",1.5\r\n",
            "#t\r\n",
            "(3492890328409238509324850943850943825024385\r\n",
            "!21\r\nSYNTAX invalid syntax\r\n",
            "=7\r\ntxt:abc\r\n",
            "~2\r\n+a\r\n:1\r\n",
            "|1\r\n+ttl\r\n:3600\r\n$3\r\n\r\n\n\r\n",
            // HELLO.
            "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*1\r\n%1\r\n$4\r\nname\r\n$2\r\nbf\r\n",
            &longest,
        ] {
            // Each begins anew: together they are longer than one may be.
            assert_eq!(passed(reply.repeat(50).as_bytes()), Ok(()), "{reply}");
        }
    }

    #[test]
    fn what_is_longer_than_an_answer_is_refused_before_it_is_there() {
        let most = usize::try_from(MOST_BYTES).unwrap();
        let endless = |start: &str| start.to_owned() + &"a".repeat(most);
        for reply in [
            "$2000000000\r\n",
            "$9223372036854775807\r\n",
            "!2000000000\r\n",
            "=2000000000\r\n",
            "*1000000\r\n",
            "*9223372036854775807\r\n",
            "~1000000\r\n",
            "%1000000\r\n",
            "%9223372036854775807\r\n",
            "|9223372036854775807\r\n",
            "*2\r\n+OK\r\n$2000000000\r\n",
            &endless("+"),
            &endless("-ERR "),
            &endless(":"),
            &endless(","),
            &endless("("),
            &endless("_"),
            &("*2\r\n".to_owned() + &"*1\r\n".repeat(most / 4)),
            &("*4000\r\n".to_owned() + &"+abcdef\r\n".repeat(most / 9)),
            &format!("*2\r\n$9000\r\n{}\r\n$9000\r\n", "a".repeat(9000)),
        ] {
            assert_eq!(passed(reply.as_bytes()), Err(Refusal::TooLong), "{}", &reply[..reply.len().min(40)]);
        }
        // To the byte.
        let text = |length: usize| format!("${length}\r\n");
        let head = text(most).len();
        assert_eq!(passed(text(most - head - 2).as_bytes()), Ok(()));
        assert_eq!(passed(text(most - head - 1).as_bytes()), Err(Refusal::TooLong));
    }

    #[test]
    fn what_nobody_asked_for_and_what_is_no_reply_is_refused() {
        assert_eq!(passed(b"+OK\r\n>2\r\n+invalidate\r\n_\r\n"), Err(Refusal::Unasked));
        for reply in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\0",
            "\r\n",
            "$\r\n",
            "$?\r\n",
            "$1a\r\n",
            "*x\r\n",
            "!-1\r\n",
            "=-1\r\n",
            "%-1\r\n",
            "|-1\r\n",
        ] {
            assert_eq!(passed(reply.as_bytes()), Err(Refusal::NotRedis), "{reply}");
        }
        let long = format!("${}1\r\n", "0".repeat(100_000));
        assert_eq!(passed(long.as_bytes()), Err(Refusal::NotRedis));
    }
}
