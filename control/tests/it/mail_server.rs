//! A mail server that is not ours: aiosmtpd, whose messages Python's `email` reads.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Serves on a free port and prints each message as one line of JSON, and ends when its standard input does.
const SERVE: &str = r#"
import asyncio, email, email.policy, json, os, sys
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        defects = [str(it) for part in message.walk() for it in part.defects]
        defects += [str(it) for value in message.values() for it in getattr(value, "defects", [])]
        addresses = lambda name: [[it.display_name, it.addr_spec] for it in message[name].addresses] if message[name] else []
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "names": message.keys(),
            "headers": [[name, str(value)] for name, value in message.items()],
            "From": addresses("From"), "To": addresses("To"), "Reply-To": addresses("Reply-To"),
            "parts": [[part.get_content_type(), part.get_content()] for part in message.walk() if not part.is_multipart()],
            "type": message.get_content_type(), "defects": defects, "longest": max(map(len, envelope.content.split(b"\r\n"))),
            "ascii": envelope.content.isascii(),
        }), flush=True)
        return "250 OK"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)

asyncio.run(main())
"#;

/// The server.
pub struct MailServer {
    child: Child,
    said: std::io::Lines<BufReader<ChildStdout>>,
    pub port: u16,
}

impl MailServer {
    pub fn start() -> Self {
        let python = std::env::var_os("WARDGATE_TEST_PYTHON").expect(
            "WARDGATE_TEST_PYTHON is not set: it names a Python with tests/clients/python/requirements.txt",
        );
        let mut child = Command::new(python)
            .args(["-c", SERVE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python of WARDGATE_TEST_PYTHON");
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let port =
            said.next().expect("aiosmtpd (tests/clients/python/requirements.txt) does not serve").unwrap();
        Self { child, said, port: port.parse().unwrap() }
    }

    /// The next message as Python reads it. The server has it before it answers.
    pub fn received(&mut self) -> Value {
        serde_json::from_str(&self.said.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
