import DqliteEngine
import DqliteRaft
import NIOCore
import Synchronization

/// Brings what is committed into the engine: in the order of the log, one entry at a time.
///
/// What this node proposed itself only has to be pointed at, and is applied by whoever brings the news. The entries of others
/// are copied, may have to wait for the disk, and are applied on a thread of their own.
final class Applier: Sendable {
    enum Item: Sendable {
        /// An entry that this node proposed.
        case own(LogIndex, @Sendable (Result<LogIndex, ReplicationFailure>) -> Void)
        /// One that another node proposed, or this one before it was started.
        case foreign(Entry)
        /// This node leads, and the first entry of its term is at that place.
        case lead(Term, LogIndex)
        /// It leads no more; these have to be told.
        case stepDown([@Sendable (Result<LogIndex, ReplicationFailure>) -> Void])

        fileprivate var mayWait: Bool {
            switch self {
            case .own, .lead: false
            case .foreign, .stepDown: true
            }
        }
    }

    private struct State {
        var items = CircularBuffer<Item>()
        var isDraining = false
        var isStopped = false
        var engine: Engine?

        /// Whether something can be taken now, by who may wait.
        var hasWork: Bool { !self.items.isEmpty && !self.isDraining && !self.isStopped && self.engine != nil }
    }

    private let state = Mutex(State())
    private let condition = Condition()
    private let appliedIndex: Atomic<UInt64>
    private let servingTerm = Atomic<UInt64>(0)
    /// Told when the node begins to serve, and when it ends to.
    private let servingChanged: @Sendable (Bool) -> Void
    /// Told when an entry cannot be applied: the node must stop.
    private let failed: @Sendable (String) -> Void
    /// Told what was applied.
    private let progressed: @Sendable (LogIndex) -> Void

    init(
        applied: LogIndex, servingChanged: @escaping @Sendable (Bool) -> Void,
        failed: @escaping @Sendable (String) -> Void, progressed: @escaping @Sendable (LogIndex) -> Void
    ) {
        self.appliedIndex = Atomic(applied.rawValue)
        self.servingChanged = servingChanged
        self.failed = failed
        self.progressed = progressed
    }

    /// Everything through this place is applied.
    var applied: LogIndex { LogIndex(self.appliedIndex.load(ordering: .acquiring)) }

    /// The term in which sessions may read and write; zero when this node does not lead, or does not know yet all that is
    /// committed.
    var term: UInt64 { self.servingTerm.load(ordering: .acquiring) }

    func start(_ engine: Engine) throws(DqliteNodeError) {
        self.state.withLock { $0.engine = engine }
        guard startThread({ self.run() }) else { throw DqliteNodeError(.engine, "the system has no thread to give") }
    }

    /// Gives the engine back, which gets nothing more. Waits for what is under way; what waits is dropped, since a copy of all
    /// databases contains it, and who asks for it is told that leadership was lost.
    func release() {
        self.state.withLock { $0.engine = nil }
        self.condition.withLock {
            while self.state.withLock({ $0.isDraining }) { _ = self.condition.wait(atMost: .milliseconds(1)) }
        }
        let items = self.state.withLock { state in
            defer { state.items.removeAll() }
            return state.items
        }
        for item in items {
            switch item {
            case .own(_, let completion): completion(.failure(.leadershipLost))
            case .stepDown(let completions): self.stepDown(nil, completions)
            case .foreign, .lead: break
            }
        }
    }

    /// What comes is for this engine, which has everything through a place.
    func use(_ engine: Engine, applied: LogIndex) {
        self.appliedIndex.store(applied.rawValue, ordering: .releasing)
        self.state.withLock { $0.engine = engine }
        self.drain()
    }

    func stop() {
        self.state.withLock { $0.isStopped = true }
        self.condition.withLock { self.condition.broadcast() }
    }

    /// Adds what has to be done after all that was added before. Called by one at a time; see ``drain()``.
    func append(_ item: Item) { self.state.withLock { $0.items.append(item) } }

    /// Does what can be done without waiting, and has the thread do the rest.
    func drain() {
        self.drain(mayWait: false)
        if self.state.withLock({ $0.hasWork }) {
            self.condition.withLock { self.condition.signal() }
        }
    }

    private func run() {
        while true {
            self.drain(mayWait: true)
            let isStopped = self.condition.withLock {
                while true {
                    let (hasWork, isStopped) = self.state.withLock { ($0.hasWork, $0.isStopped) }
                    if hasWork || isStopped { return isStopped }
                    self.condition.wait()
                }
            }
            if isStopped { return self.state.withLock { $0.engine = nil } }
        }
    }

    private func drain(mayWait: Bool) {
        while true {
            let next = self.state.withLock { state -> (Item, Engine)? in
                guard state.hasWork, let engine = state.engine, mayWait || !(state.items.first?.mayWait ?? true) else {
                    return nil
                }
                state.isDraining = true
                return (state.items.removeFirst(), engine)
            }
            guard let (item, engine) = next else { return }
            self.perform(item, engine)
            let wakes = self.state.withLock { state in
                state.isDraining = false
                return !mayWait && state.items.first?.mayWait ?? false
            }
            if wakes { self.condition.withLock { self.condition.signal() } }
        }
    }

    private func perform(_ item: Item, _ engine: Engine) {
        switch item {
        case .own(let index, let completion):
            completion(.success(index))
            self.advance(to: index)
        case .foreign(let entry):
            do throws(EngineError) {
                try engine.apply(entry)
                // The files of databases that were received are whole from here on.
                if entry.index >= engine.recoveryTarget { try engine.recoveredOnce() }
                self.advance(to: entry.index)
            } catch {
                // Nothing may be applied after it.
                self.state.withLock { $0.isStopped = true }
                self.failed(error.message)
            }
        case .lead(let term, let index):
            engine.passed(index)
            self.advance(to: index)
            engine.lead(in: term)
            self.servingTerm.store(term.rawValue, ordering: .releasing)
            self.servingChanged(true)
        case .stepDown(let completions): self.stepDown(engine, completions)
        }
    }

    private func stepDown(
        _ engine: Engine?, _ completions: [@Sendable (Result<LogIndex, ReplicationFailure>) -> Void]
    ) {
        self.servingTerm.store(0, ordering: .releasing)
        engine?.stepDown()
        for completion in completions { completion(.failure(.leadershipLost)) }
        self.servingChanged(false)
    }

    private func advance(to index: LogIndex) {
        self.appliedIndex.store(index.rawValue, ordering: .releasing)
        self.progressed(index)
    }
}
