//! One query, one record, one engine, and everything that can happen next.
//!
//! The shell is the real one's order of work: event, step, durable write, effect. A crash can fall between any two of
//! them. Each call is carried out and answered in one move, except a submission, which travels.

use super::Setting;
use super::machine::{Ev, Machine, Outcome, RecordNumber};
use super::mutants::Mutant;
use crate::state::Effect;

const MAX_TRAVELLING: u8 = 2;

/// Where the statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// At a service: it goes on when we crash.
    Remote,
    /// In our process, its rows stored as they come.
    EmbeddedStoring,
    /// In our process, its rows fetched after its end.
    EmbeddedKeeping,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Remote {
    Never,
    Running,
    Succeeded,
    Failed,
    Aborted,
    TimedOut,
    /// Ended, and forgotten by the engine; whether it had succeeded.
    Forgotten(bool),
    /// Ended with the process that it ran in.
    Gone,
}

/// What the driver is about to do; its decision is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Driver {
    Off,
    Between,
    Submit,
    Awaiting,
    Lookup,
    Check,
    SendCancel,
    Fetch,
    /// Only a mutant's driver gets here: it does nothing any more.
    Stuck,
}

impl Driver {
    pub(super) const ALL: [Self; 8] = [
        Self::Off,
        Self::Between,
        Self::Submit,
        Self::Awaiting,
        Self::Lookup,
        Self::Check,
        Self::SendCancel,
        Self::Fetch,
    ];
}

/// A former owner that does not know yet that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Zombie {
    None,
    /// It is about to write this.
    Holds(RecordNumber),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) record: RecordNumber,
    /// The record was removed.
    pub(super) removed: bool,
    owned: bool,
    pub(super) driver: Driver,
    pub(super) session: bool,
    /// Sessions opened minus sessions closed.
    pub(super) open: i8,
    pub(super) used_after_close: bool,
    reaping: bool,
    zombie: Zombie,
    /// Submissions on their way.
    pub(super) travelling: u8,
    pub(super) remote: Remote,
    pub(super) executions: u8,
    /// A submission was decided on after a stop was durable.
    pub(super) late_submission: bool,
    crashes_left: u8,
    /// Faults of the network and the engine that may still come.
    losses_left: u8,
}

/// Something that happens.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) name: &'static str,
    pub(super) after: World,
    pub(super) by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Anybody,
    /// The driver writes.
    Driver,
    /// The statement ends although nobody of ours stopped it.
    Itself,
}

/// The moves of one state as they are collected.
struct Moves<'a> {
    machine: &'a mut Machine,
    list: Vec<Move>,
}

impl Moves<'_> {
    fn add(&mut self, name: &'static str, after: World) {
        self.list.push(Move { name, after, by: By::Anybody });
    }

    fn add_if(&mut self, possible: bool, name: &'static str, after: World) {
        if possible {
            self.add(name, after);
        }
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.machine.setting.mutant == Some(mutant)
    }

    /// What somebody who is not the driver writes.
    fn told(&mut self, world: World, name: &'static str, ev: Ev) {
        for outcome in self.machine.outcomes(world.record, ev) {
            let wakes = outcome.effects.contains(&Effect::WakeDriver) && world.driver == Driver::Check;
            let after =
                world.written(&outcome, !self.has(Mutant::NoCas)).with_effects(self, &outcome.effects);
            self.add_if(wakes, name, World { driver: Driver::Between, ..after });
            self.add(name, after);
        }
    }

    /// What the driver writes, if its lease still holds when it does.
    fn driven(&mut self, world: World, name: &'static str, ev: Ev) {
        for outcome in self.machine.outcomes(world.record, ev) {
            let after =
                world.written(&outcome, !self.has(Mutant::NoCas)).with_effects(self, &outcome.effects);
            let late = world.late_submission || self.submits_after_stop(&outcome);
            self.list.push(Move { name, after: World { late_submission: late, ..after }, by: By::Driver });
            if world.may_lose_lease(self) && self.machine.record(outcome.record).is_terminal() {
                let zombie = Zombie::Holds(outcome.record);
                let lost = World {
                    owned: false,
                    zombie,
                    crashes_left: world.crashes_left - 1,
                    ..world.driver_ends(self)
                };
                self.add("lease lost before the write", lost);
            }
        }
    }

    fn submits_after_stop(&self, outcome: &Outcome) -> bool {
        let submits = outcome.effects.iter().any(|effect| matches!(effect, Effect::Submit { .. }));
        submits && self.machine.record(outcome.record).intent.is_some()
    }
}

impl World {
    pub(super) fn start(setting: Setting) -> Self {
        Self {
            record: 0,
            removed: false,
            owned: true,
            driver: Driver::Off,
            session: false,
            open: 0,
            used_after_close: false,
            reaping: false,
            zombie: Zombie::None,
            travelling: 0,
            remote: Remote::Never,
            executions: 0,
            late_submission: false,
            crashes_left: setting.max_crashes,
            losses_left: setting.max_losses,
        }
    }

    pub(super) fn moves(self, machine: &mut Machine) -> Vec<Move> {
        let mut moves = Moves { machine, list: vec![] };
        self.engine_moves(&mut moves);
        if !self.removed {
            self.owner_moves(&mut moves);
            self.outside_moves(&mut moves);
            self.driver_moves(&mut moves);
        }
        moves.list
    }

    // ---- the engine and the network

    fn engine_moves(self, moves: &mut Moves<'_>) {
        if self.remote == Remote::Running {
            let ends = [
                ("statement succeeds", Remote::Succeeded),
                ("statement fails", Remote::Failed),
                ("engine's limit ends it", Remote::TimedOut),
                ("somebody else stops it", Remote::Aborted),
            ];
            for (name, remote) in ends {
                moves.list.push(Move { name, after: Self { remote, ..self }, by: By::Itself });
            }
        }
        let ended =
            matches!(self.remote, Remote::Succeeded | Remote::Failed | Remote::Aborted | Remote::TimedOut);
        let forgotten = Remote::Forgotten(self.remote == Remote::Succeeded);
        moves.add_if(
            ended && self.may_lose(),
            "engine forgets it",
            Self { remote: forgotten, ..self.losing() },
        );
        if self.travelling > 0 {
            let one_less = Self { travelling: self.travelling - 1, ..self };
            moves.add("submission arrives", one_less.arrives(moves.has(Mutant::FreshRequestId)));
            moves.add_if(self.may_lose(), "submission dropped", one_less.losing());
        }
    }

    /// The engine knows a request that it has seen.
    fn arrives(self, as_another_request: bool) -> Self {
        match self.remote == Remote::Never || (as_another_request && self.executions < 2) {
            true => Self { remote: Remote::Running, executions: self.executions + 1, ..self },
            false => self,
        }
    }

    fn may_lose(self) -> bool {
        self.losses_left > 0
    }

    fn losing(self) -> Self {
        Self { losses_left: self.losses_left.saturating_sub(1), ..self }
    }

    // ---- processes

    fn owner_moves(self, moves: &mut Moves<'_>) {
        let record = moves.machine.record(self.record);
        let (ended, needs_owner) = (record.is_terminal(), record.needs_a_driver());
        let embedded = moves.machine.setting.engine != Engine::Remote;
        if self.owned && self.crashes_left > 0 {
            moves.add("CRASH", self.crashed(embedded));
        }
        if !self.owned && needs_owner {
            let ev = if embedded { Ev::LeaseTakenEngineGone } else { Ev::LeaseTaken };
            moves.told(Self { owned: true, ..self }, "TAKE-OVER", ev);
        }
        if self.owned && !ended && self.driver == Driver::Off {
            let opened = Self { session: true, open: self.open + 1, driver: Driver::Between, ..self };
            moves.add("driver starts", opened);
        }
        if let Zombie::Holds(record) = self.zombie {
            moves.add("zombie writes", Self { zombie: Zombie::Done, record, ..self });
        }
        if self.reaping && !moves.has(Mutant::NoReaper) {
            self.reap(moves);
        }
    }

    /// The engine drops the session of a process that is gone. An embedded engine goes with it.
    fn crashed(self, embedded: bool) -> Self {
        let open = self.open - i8::from(self.session);
        let dead = Self { owned: false, driver: Driver::Off, session: false, open, reaping: false, ..self };
        let dead = Self { crashes_left: self.crashes_left - 1, ..dead };
        match (embedded, self.remote) {
            (true, Remote::Never) => Self { travelling: 0, ..dead },
            (true, _) => Self { travelling: 0, remote: Remote::Gone, ..dead },
            (false, _) => dead,
        }
    }

    /// An embedded engine's lease goes only with its process.
    fn may_lose_lease(self, moves: &Moves<'_>) -> bool {
        let remote = moves.machine.setting.engine == Engine::Remote;
        remote && self.zombie == Zombie::None && self.crashes_left > 0
    }

    /// Paid once nothing runs and nothing can arrive any more.
    fn reap(self, moves: &mut Moves<'_>) {
        if self.remote == Remote::Running {
            moves.add("reaper stops it", Self { remote: Remote::Aborted, ..self });
        } else if self.travelling == 0 {
            moves.told(self, "debt paid", Ev::DebtPaid);
        }
    }

    fn outside_moves(self, moves: &mut Moves<'_>) {
        let record = moves.machine.record(self.record);
        let (ended, wished) = (record.is_terminal(), record.intent.is_some());
        let (known, out_of_sight) = (record.handle.is_some(), record.forgotten);
        if !ended && known && moves.has(Mutant::TimeoutNoCancel) {
            // The mutant's driver goes without closing anything.
            moves.told(Self { driver: Driver::Off, ..self }, "deadline", Ev::DeadlinePassed);
        } else if !ended && !wished {
            moves.told(self, "deadline", Ev::DeadlinePassed);
        }
        if !ended && !wished && (known || !moves.has(Mutant::CancelNeedsHandle)) {
            moves.told(self, "cancel request", Ev::CancelWished);
        }
        if !out_of_sight || (ended && !self.reaping) {
            moves.told(self, "retention ends", Ev::Expired);
        }
    }

    // ---- the driver

    fn driver_moves(self, moves: &mut Moves<'_>) {
        let calls = matches!(self.driver, Driver::Submit | Driver::Lookup | Driver::Check | Driver::Fetch);
        let used_after_close = self.used_after_close || (calls && !self.session);
        let world = Self { used_after_close, ..self };
        match self.driver {
            Driver::Off | Driver::Stuck => {}
            Driver::Between => moves.driven(world, "driver goes on", Ev::Resumed),
            Driver::Submit => {
                let sent = Self { travelling: self.travelling + 1, driver: Driver::Awaiting, ..world };
                moves.add_if(self.travelling < MAX_TRAVELLING, "submission leaves", sent);
                if self.may_lose() {
                    moves.driven(world.losing(), "no session to be had", Ev::NotSent);
                }
                if moves.machine.record(self.record).posts.sent > 1 {
                    world.looks_instead(moves);
                }
            }
            Driver::Awaiting => world.submission_answers(moves),
            Driver::Lookup => world.lookup_answers(moves),
            Driver::Check => world.check_answers(moves),
            Driver::SendCancel => world.cancel_answers(moves),
            Driver::Fetch => world.fetch_answers(moves),
        }
    }

    /// Where only the lost session would recognise a repeat, the repeat is a look at the history.
    fn looks_instead(self, moves: &mut Moves<'_>) {
        if self.remote == Remote::Never {
            moves.driven(self, "repeat looks and misses", Ev::NotSent);
        } else {
            moves.driven(self, "repeat looks and finds", Ev::Submitted);
        }
        if self.may_lose() && self.remote != Remote::Never {
            moves.driven(self.losing(), "repeat looks too early", Ev::NotSent);
        }
    }

    fn submission_answers(self, moves: &mut Moves<'_>) {
        if self.remote != Remote::Never {
            moves.driven(self, "handle", Ev::Submitted);
        }
        if self.travelling == 0 && self.remote == Remote::Never {
            moves.driven(self, "no answer", Ev::SubmitUnclear);
        } else if self.may_lose() {
            moves.driven(self.losing(), "no answer", Ev::SubmitUnclear);
        }
        // Also while an earlier one runs: a sign-in that ended, say, is answered before any request id is looked at.
        if self.travelling > 0 {
            moves.driven(Self { travelling: self.travelling - 1, ..self }, "rejected", Ev::Rejected);
        }
    }

    fn lookup_answers(self, moves: &mut Moves<'_>) {
        if self.remote == Remote::Never {
            moves.driven(self, "lookup misses", Ev::Missing);
        } else {
            moves.driven(self, "lookup finds", Ev::Found);
        }
        if self.remote == Remote::Never && self.travelling == 0 {
            moves.driven(self, "lookup rules it out", Ev::NeverArrived);
        }
        if self.may_lose() {
            if self.remote != Remote::Never {
                moves.driven(self.losing(), "lookup comes too early", Ev::Missing);
            }
            moves.driven(self.losing(), "lookup unanswered", Ev::LookupUnclear);
        }
    }

    fn check_answers(self, moves: &mut Moves<'_>) {
        let rows = match moves.machine.setting.engine {
            Engine::EmbeddedStoring => Ev::RowsStored,
            Engine::Remote | Engine::EmbeddedKeeping => Ev::RowsReady,
        };
        let (name, ev) = match self.remote {
            Remote::Never => ("check finds no data", Ev::NoDataYet),
            Remote::Running => ("check: running", Ev::StillRunning),
            Remote::Succeeded => ("check: succeeded", rows),
            Remote::Failed => ("check: failed", Ev::RemoteFailed),
            Remote::Aborted => ("check: aborted", Ev::RemoteAborted),
            Remote::TimedOut => ("check: timed out", Ev::RemoteTimedOut),
            Remote::Forgotten(_) => ("check finds no data any more", Ev::NoData),
            Remote::Gone => ("check: engine gone", Ev::EngineGone),
        };
        moves.driven(self, name, ev);
        if !self.may_lose() {
            return;
        }
        moves.driven(self.losing(), "check finds no data yet", Ev::NoDataYet);
        let leaks = moves.has(Mutant::PollErrorLeaks);
        let kept = moves.list.len();
        moves.driven(self.losing(), "check unanswered", Ev::CheckUnclear);
        if leaks {
            // The mutant's driver goes without closing anything.
            for leak in &mut moves.list[kept..] {
                leak.after = Self { session: self.session, open: self.open, ..leak.after };
            }
        }
    }

    fn cancel_answers(self, moves: &mut Moves<'_>) {
        let world = if moves.has(Mutant::CloseBeforeWait) { self.closed(moves) } else { self };
        let running = world.remote == Remote::Running;
        let stopped = if running { Self { remote: Remote::Aborted, ..world } } else { world };
        match running {
            true => moves.driven(stopped, "cancel accepted", Ev::CancelAccepted),
            false => moves.driven(world, "cancel: not running", Ev::CancelNotRunning),
        }
        if !world.may_lose() {
            return;
        }
        if moves.has(Mutant::CancelStopsTaskThenFails) {
            moves.add("cancel unanswered", Self { driver: Driver::Stuck, ..world.losing() });
            return;
        }
        if running {
            moves.driven(world.losing(), "cancel accepted without effect", Ev::CancelAccepted);
            moves.driven(stopped.losing(), "cancel's answer lost", Ev::CancelUnclear);
        }
        moves.driven(world.losing(), "cancel lost", Ev::CancelUnclear);
        moves.driven(world.losing(), "cancel refused", Ev::CancelRefused);
    }

    fn fetch_answers(self, moves: &mut Moves<'_>) {
        if self.remote == Remote::Succeeded {
            moves.driven(self, "rows stored", Ev::RowsStored);
        } else {
            moves.driven(self, "rows no longer there", Ev::RowsLost);
        }
        if self.may_lose() {
            moves.driven(self.losing(), "rows cannot be stored", Ev::RowsLost);
        }
    }

    // ---- writes and their effects

    /// A changed record has another version, so a zombie's write on the old one comes to nothing.
    fn written(self, outcome: &Outcome, fenced: bool) -> Self {
        let zombie = match self.zombie {
            Zombie::Holds(_) if outcome.changed && fenced => Zombie::Done,
            other => other,
        };
        Self { record: outcome.record, zombie, ..self }
    }

    fn with_effects(self, moves: &Moves<'_>, effects: &[Effect]) -> Self {
        effects.iter().fold(self, |world, effect| world.with_effect(moves, *effect))
    }

    fn with_effect(self, moves: &Moves<'_>, effect: Effect) -> Self {
        let next = |driver| Self { driver, ..self };
        match effect {
            Effect::Submit { .. } => next(Driver::Submit),
            Effect::Lookup => next(Driver::Lookup),
            Effect::Check => next(Driver::Check),
            Effect::SendCancel => next(Driver::SendCancel),
            Effect::Fetch => next(Driver::Fetch),
            Effect::Wait(_) => next(Driver::Between),
            Effect::WakeDriver => self,
            Effect::StopDriver => self.driver_ends(moves),
            Effect::Reap => Self { reaping: self.owned, ..self },
            Effect::Forget => Self { removed: true, reaping: false, ..self },
        }
    }

    fn driver_ends(self, moves: &Moves<'_>) -> Self {
        Self { driver: Driver::Off, ..self.closed(moves) }
    }

    fn closed(self, moves: &Moves<'_>) -> Self {
        match self.session {
            true => Self { session: moves.has(Mutant::DoubleClose), open: self.open.max(-4) - 1, ..self },
            false => self,
        }
    }
}
