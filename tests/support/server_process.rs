//! The real binary over real pipes, spoken to in raw JSON-RPC so that nothing between hides what it says.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No answer of a healthy server takes longer, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    log: Arc<Mutex<String>>,
    log_reader: Option<thread::JoinHandle<()>>,
    next_id: u64,
    /// Every line of stdout that was read so far.
    pub transcript: String,
    /// Everything that came before the answer that was waited for.
    pub other_messages: Vec<Value>,
}

impl ServerProcess {
    /// Starts `binary` on a state directory and shakes hands.
    pub fn start(binary: &str, state_dir: &Path, arguments: &[&str]) -> Self {
        let mut server = Self::spawn(binary, state_dir, arguments);
        server.initialize();
        server
    }

    /// Starts `binary` and says nothing to it.
    pub fn spawn(binary: &str, state_dir: &Path, arguments: &[&str]) -> Self {
        Self::spawn_with(binary, state_dir, arguments, &[])
    }

    /// As [`ServerProcess::spawn`], with variables of its own.
    pub fn spawn_with(
        binary: &str,
        state_dir: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
    ) -> Self {
        let mut child = Command::new(binary)
            .arg("--state-dir")
            .arg(state_dir)
            .args(arguments)
            .env_remove("RUST_LOG")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (sender, stdout) = channel();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut errors = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let log_reader = thread::spawn(move || {
            let mut line = vec![];
            while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                lock(&kept).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let stdin = child.stdin.take();
        Self {
            child,
            stdin,
            stdout,
            log,
            log_reader: Some(log_reader),
            next_id: 0,
            transcript: String::new(),
            other_messages: vec![],
        }
    }

    /// The handshake of the older protocol era, which all clients speak.
    pub fn initialize(&mut self) -> Value {
        let hello = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "integration-tests", "version": "0" }
        });
        let answer = self.request("initialize", hello);
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        answer["result"].clone()
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends one message.
    pub fn send(&mut self, message: &Value) {
        self.send_line(message.to_string().as_bytes());
    }

    /// Sends bytes as they are, and ends the line.
    pub fn send_line(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin
            .write_all(line)
            .and_then(|()| stdin.write_all(b"\n"))
            .and_then(|()| stdin.flush())
            .expect("it reads");
    }

    /// Sends a request without waiting for its answer; returns its id.
    pub fn post(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// Waits for the answer to request `id`.
    pub fn answer(&mut self, id: u64) -> Value {
        let end = Instant::now() + PATIENCE;
        if let Some(place) = self.other_messages.iter().position(|message| message["id"] == id) {
            return self.other_messages.remove(place);
        }
        loop {
            let message =
                self.message(end.saturating_duration_since(Instant::now())).expect("an answer in time");
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
            self.other_messages.push(message);
        }
    }

    /// The next message of the server; `None` when none comes in time or it closed its output.
    ///
    /// # Panics
    ///
    /// When a line is no JSON-RPC message: stdout is the protocol.
    pub fn message(&mut self, patience: Duration) -> Option<Value> {
        match self.stdout.recv_timeout(patience) {
            Ok(line) => {
                self.transcript.push_str(&line);
                self.transcript.push('\n');
                let message: Value =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                assert_eq!(message["jsonrpc"], "2.0", "{line}");
                Some(message)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params);
        self.answer(id)
    }

    /// Posts a tool call without waiting.
    pub fn post_call(&mut self, tool: &str, arguments: Value) -> u64 {
        self.post("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Calls a tool that is to succeed and returns its structured content.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({ "name": tool, "arguments": arguments }));
        let result = &answer["result"];
        assert_ne!(result["isError"], true, "{tool}: {answer}");
        assert!(result["structuredContent"].is_object(), "{tool}: {answer}");
        result["structuredContent"].clone()
    }

    /// Calls a tool that is to fail and returns the text of its error.
    pub fn call_error(&mut self, tool: &str, arguments: Value) -> String {
        let answer = self.request("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert_eq!(answer["result"]["isError"], true, "{tool}: {answer}");
        let text = answer["result"]["content"][0]["text"].as_str().expect("an error has text");
        assert!(text.contains("\nerror.type: "), "{tool}: {text}");
        text.to_owned()
    }

    /// Submits a statement without waiting for it; returns its query id.
    pub fn submit(&mut self, sql: &str) -> String {
        let answer = self.call("async_execute_query", json!({ "sql": sql, "wait_seconds": 0 }));
        answer["query_id"].as_str().expect("a query id").to_owned()
    }

    /// Waits until a query has ended and returns its status answer.
    pub fn wait_for_end(&mut self, query_id: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        let mut status = self.call("query_status", json!({ "query_id": query_id, "wait_seconds": 0 }));
        while matches!(status["status"].as_str(), Some("pending" | "running")) {
            assert!(Instant::now() < end, "{status}");
            let version = status["version"].clone();
            let arguments = json!({ "query_id": query_id, "wait_seconds": 10, "version": version });
            status = self.call("query_status", arguments);
        }
        status
    }

    /// Waits until the engine has taken a query.
    pub fn wait_until_running(&mut self, query_id: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.call("query_status", json!({ "query_id": query_id, "wait_seconds": 1 }));
            match status["status"].as_str() {
                Some("pending") => assert!(Instant::now() < end, "{status}"),
                Some("running") => return,
                _ => panic!("ended before: {status}"),
            }
        }
    }

    /// Closes the server's input, as a client that leaves does.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by name: `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status();
        assert!(status.expect("kill is there").success(), "cannot send {name}");
    }

    /// Waits for the process to end and tells how, and after what time.
    pub fn ended(&mut self, patience: Duration) -> Option<(ExitStatus, Duration)> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait().expect("the process is ours") {
                return Some((status, start.elapsed()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Kills the process as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// What the ended process wrote to stderr.
    pub fn stderr(&mut self) -> String {
        if let Some(reader) = self.log_reader.take() {
            reader.join().ok();
        }
        lock(&self.log).clone()
    }

    /// Waits for a line of the log that holds `text`.
    pub fn log_line(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = lock(&self.log).clone();
            // The last piece may be half a line.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < end, "no {text:?} in {log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory the process has used so far, in bytes. Linux only.
    pub fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process is alive");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a kernel that counts");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Processor time used so far, in clock ticks. Linux only.
    pub fn cpu_ticks(&self) -> u64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("the process is alive");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Fields 14 and 15 of the whole line; the first two went with the name.
        [11, 12].iter().filter_map(|&place| fields.get(place)?.parse::<u64>().ok()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
