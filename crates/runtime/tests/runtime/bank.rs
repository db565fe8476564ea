//! Components by hand: accounts, a transfer between them, and users with a unique email.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use component::hosted::{
    Accepted, CommandContext, EncodedEvent, EntityDescription, HostedEntity, HostedOperation, LiveEntity, OlderShape, OperationAccepted,
    OperationDescription, OperationReads, OperationSeen, Refusal, Rejected, StoredEvent, Unreadable, state_version,
};
use serde_json::{Value as Json, json};

/// `account` and `user`: a balance and a memo.
pub(crate) struct Kind {
    description: EntityDescription,
    build: &'static str,
    /// How often any entity of it has decided.
    pub(crate) decisions: Arc<AtomicUsize>,
}

impl Kind {
    pub(crate) fn new(name: &'static str) -> Self {
        Self::of_build(name, "build 1")
    }

    pub(crate) fn of_build(name: &'static str, build: &'static str) -> Self {
        let (commands, events, rejections) = (Vec::new(), Vec::new(), Vec::new());
        let state_version = state_version(build).unwrap_or_default();
        let older = OlderShape { first: 1, last: state_version.saturating_sub(1), schema: json!({}) };
        let state_from = if state_version > 1 { vec![older] } else { Vec::new() };
        let description = EntityDescription {
            name,
            commands,
            events,
            rejections,
            reply: json!({}),
            state: json!({}),
            state_version,
            state_from,
        };
        Self { description, build, decisions: Arc::default() }
    }
}

impl HostedEntity for Kind {
    fn name(&self) -> &'static str {
        self.description.name
    }

    fn check(&self, command: &str, body: &[u8]) -> Result<(), Refusal> {
        if command == "unheard-of" {
            return Err(Refusal::UnknownCommand { known: vec!["deposit"] });
        }
        serde_json::from_slice::<Json>(body).map(drop).map_err(|error| Refusal::Syntax { message: error.to_string() })
    }

    fn fresh(&self) -> Box<dyn LiveEntity> {
        Box::new(Account { balance: 0, memo: String::new(), decisions: Arc::clone(&self.decisions) })
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        let state: Json = serde_json::from_slice(state).map_err(|error| Unreadable { message: error.to_string() })?;
        let balance = state["balance"].as_i64().ok_or(Unreadable { message: "no balance".into() })?;
        let memo = state["memo"].as_str().unwrap_or_default().to_owned();
        Ok(Box::new(Account { balance, memo, decisions: Arc::clone(&self.decisions) }))
    }

    fn state_build(&self) -> &str {
        self.build
    }

    /// Builds of a version that begins with `wrong` convert an older state wrongly, and those with `broken` not at all.
    fn rebase(&self, build: &str, state: &[u8]) -> Result<Box<dyn LiveEntity>, Unreadable> {
        if build != self.build && state_version(build) >= state_version(self.build) {
            return Err(Unreadable { message: format!("{build} is not older") });
        }
        let mut state: Json = serde_json::from_slice(state).map_err(|error| Unreadable { message: error.to_string() })?;
        match self.build.split_once('-') {
            Some((_, "wrong")) => state["balance"] = json!(7),
            Some((_, "broken")) => return Err(Unreadable { message: "no word for it".into() }),
            _ => {}
        }
        self.restore(state.to_string().as_bytes())
    }

    fn description(&self) -> &EntityDescription {
        &self.description
    }
}

pub(crate) struct Account {
    balance: i64,
    memo: String,
    decisions: Arc<AtomicUsize>,
}

impl Account {
    fn record(&mut self, event: EncodedEvent) -> EncodedEvent {
        self.evolve(StoredEvent { name: event.name, version: event.version, payload: &event.payload }).unwrap();
        event
    }

    fn run(&mut self, command: &str, body: &Json) -> Result<Vec<EncodedEvent>, Refusal> {
        let amount = body["amount"].as_i64().unwrap_or(0);
        Ok(match command {
            "deposit" => vec![self.record(event("deposited", amount))],
            "deposit-twice" => vec![self.record(event("deposited", amount)), self.record(event("deposited", amount))],
            "withdraw" if amount > self.balance => return Err(not_covered(self.balance)),
            "withdraw" => vec![self.record(event("withdrawn", amount))],
            "look" => Vec::new(),
            "note" => {
                let memo = "n".repeat(usize::try_from(amount).unwrap());
                vec![self.record(EncodedEvent { payload: json!({ "memo": memo }).to_string().into(), ..event("noted", 0) })]
            }
            "explode" => {
                // Half changed, then gone: nobody may see the half.
                self.balance = -1;
                panic!("no such luck")
            }
            "mistag" => vec![EncodedEvent { tags: vec!["no colon".into()], ..self.record(event("deposited", amount)) }],
            _ => return Err(Refusal::UnknownCommand { known: vec!["deposit", "withdraw"] }),
        })
    }
}

impl LiveEntity for Account {
    fn decide(&mut self, command: &str, body: &[u8], _: &CommandContext) -> Result<Accepted, Refusal> {
        self.decisions.fetch_add(1, SeqCst);
        let body: Json = serde_json::from_slice(body).map_err(|error| Refusal::Syntax { message: error.to_string() })?;
        let events = self.run(command, &body)?;
        Ok(Accepted { events, reply: json!({ "balance": self.balance }).to_string().into() })
    }

    fn evolve(&mut self, event: StoredEvent<'_>) -> Result<(), Unreadable> {
        let payload: Json = serde_json::from_slice(event.payload).map_err(|error| Unreadable { message: error.to_string() })?;
        match event.name {
            "deposited" => self.balance += payload["amount"].as_i64().unwrap(),
            "withdrawn" => self.balance -= payload["amount"].as_i64().unwrap(),
            "noted" => self.memo = payload["memo"].as_str().unwrap().to_owned(),
            "registered" => self.memo = payload["email"].as_str().unwrap().to_owned(),
            name => return Err(Unreadable { message: format!("event {name}: unknown") }),
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<u8>, Unreadable> {
        Ok(json!({ "balance": self.balance, "memo": self.memo }).to_string().into())
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

pub(crate) fn event(name: &'static str, amount: i64) -> EncodedEvent {
    EncodedEvent { name, version: 1, tags: Vec::new(), payload: json!({ "amount": amount }).to_string().into() }
}

pub(crate) fn not_covered(balance: i64) -> Refusal {
    Refusal::Rejected(Rejected {
        code: "not-covered".into(),
        message: format!("there are only {balance} on it"),
        data: json!({ "balance": balance }),
    })
}

fn described(name: &'static str) -> OperationDescription {
    OperationDescription { name, input: json!({}), reply: json!({}), rejections: Vec::new() }
}

/// Moves an amount from one account to another. `witness` names a further account first, which is only read.
pub(crate) struct Transfer(OperationDescription);

impl Transfer {
    pub(crate) fn new() -> Self {
        Self(described("transfer"))
    }
}

impl HostedOperation for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn reads(&self, body: &[u8]) -> Result<OperationReads, Refusal> {
        let body: Json = serde_json::from_slice(body).map_err(|error| Refusal::Syntax { message: error.to_string() })?;
        let names = ["witness", "from", "to"].into_iter().filter_map(|part| body[part].as_str());
        Ok(OperationReads::Entities(names.map(|id| ("account", id.to_owned())).collect()))
    }

    fn decide(&self, body: &[u8], seen: OperationSeen<'_>, _: &CommandContext) -> Result<OperationAccepted, Refusal> {
        let OperationSeen::Entities(states) = seen else { panic!("no states") };
        let body: Json = serde_json::from_slice(body).unwrap();
        let amount = body["amount"].as_i64().unwrap();
        let [.., from, to] = states else { panic!("two accounts at least") };
        let from: &mut Account = from.as_any().downcast_mut().unwrap();
        if from.balance < amount {
            return Err(not_covered(from.balance));
        }
        if amount == 13 {
            from.balance = -1;
            panic!("thirteen");
        }
        let reply = json!({ "left": from.balance - amount }).to_string().into();
        if amount == 0 {
            return Ok(OperationAccepted { events: Vec::new(), reply });
        }
        let withdrawn = from.record(event("withdrawn", amount));
        let deposited = to.as_any().downcast_mut::<Account>().unwrap().record(event("deposited", amount));
        let name = |part: &str| body[part].as_str().unwrap().to_owned();
        let events = vec![("account", name("from"), vec![withdrawn]), ("account", name("to"), vec![deposited])];
        Ok(OperationAccepted { events, reply })
    }

    fn description(&self) -> &OperationDescription {
        &self.0
    }
}

/// Registers a user under an email that nobody else has.
pub(crate) struct Register(OperationDescription);

impl Register {
    pub(crate) fn new() -> Self {
        Self(described("register"))
    }
}

impl HostedOperation for Register {
    fn name(&self) -> &'static str {
        "register"
    }

    fn reads(&self, body: &[u8]) -> Result<OperationReads, Refusal> {
        let body: Json = serde_json::from_slice(body).map_err(|error| Refusal::Syntax { message: error.to_string() })?;
        Ok(OperationReads::Tagged { kind: "user", any_of: vec![vec![format!("email:{}", body["email"].as_str().unwrap())]] })
    }

    fn decide(&self, body: &[u8], seen: OperationSeen<'_>, _: &CommandContext) -> Result<OperationAccepted, Refusal> {
        let OperationSeen::Tagged(seen) = seen else { panic!("no events") };
        let body: Json = serde_json::from_slice(body).unwrap();
        let email = body["email"].as_str().unwrap();
        if !seen.is_empty() {
            return Err(taken());
        }
        let payload = json!({ "email": email }).to_string().into();
        let registered = EncodedEvent { name: "registered", version: 1, tags: vec![format!("email:{email}")], payload };
        let id = body["id"].as_str().unwrap().to_owned();
        Ok(OperationAccepted { events: vec![("user", id, vec![registered])], reply: b"\"welcome\"".to_vec() })
    }

    fn description(&self) -> &OperationDescription {
        &self.0
    }
}

pub(crate) fn taken() -> Refusal {
    Refusal::Rejected(Rejected { code: "email-taken".into(), message: "the email is taken".into(), data: json!({}) })
}
