import Dispatch
import DqliteEngine
import DqliteLog
import DqliteRaft
import LogSimulation
import Synchronization
import TestSupport

@testable import DqliteNode

/// What a simulated node does wrong. Each has to be found.
enum CrashDefect {
    /// Entries that an interrupted checkpoint may have put into a file in part are taken for being there.
    case skipsRedo
    /// The file gets pages of entries that are committed and that the node's own log does not have yet.
    case ignoresDurability
    /// Pages are written before the log says so.
    case skipsIntent
    /// The head of the log goes up to the newest entry that is applied, though files lack some of them.
    case releasesEarly
}

/// The replicator of a node that is alone, watched: what it commits is kept, for a replay.
///
/// Or one of a cluster, whose peers are faster: they commit entries before the node's own log has them, which gets them
/// later.
final class TrialReplicator: Replicator {
    private struct State {
        var committed: [LogIndex: [UInt8]] = [:]
        /// Committed by peers, and not in the log yet.
        var held: [Entry] = []
        var lastIndex = LogIndex.zero
        var term: Term?
        var random: SeededRandom
    }

    private let local: LocalReplicator
    private let files: SimulatedDatabaseFiles
    private let peersCommit: Bool
    private let defect: CrashDefect?
    private let state: Mutex<State>
    private let peers = DispatchQueue(label: "peers")

    init(
        _ local: LocalReplicator, files: SimulatedDatabaseFiles, peersCommit: Bool, defect: CrashDefect?, seed: UInt64
    ) {
        self.local = local
        self.files = files
        self.peersCommit = peersCommit
        self.defect = defect
        self.state = Mutex(State(random: SeededRandom(seed: seed)))
    }

    /// Applies what files lack, and leads.
    ///
    /// - Returns: Why nothing can be written for now.
    func start(_ engine: Engine) throws -> LogError? {
        let obstacle = try self.local.start(engine, nodeID: NodeID(1))
        self.state.withLock { state in
            state.lastIndex = self.local.log.status.lastIndex
            state.term = self.local.log.status.lastTerm
        }
        return obstacle
    }

    /// The commands of entries that were committed since the start.
    var committed: [LogIndex: [UInt8]] { self.state.withLock { $0.committed } }

    func propose(
        _ command: [UInt8], term: Term,
        completion: @escaping @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    ) throws(ProposalRefusal) {
        guard self.peersCommit else {
            return try self.local.propose(command, term: term) { result in
                if case .success(let index) = result { self.state.withLock { $0.committed[index] = command } }
                completion(result)
                // It is applied now.
                if self.defect == .releasesEarly, case .success(let index) = result { self.release(through: index) }
            }
        }
        if self.local.log.failure != nil { throw .failed("the power failed") }
        self.state.withLock { state in
            state.lastIndex = state.lastIndex.next
            let index = state.lastIndex
            state.held.append(Entry(index: index, term: term, data: command))
            state.committed[index] = command
            self.append(Int.random(in: 0...state.held.count, using: &state.random), &state)
            self.peers.async { completion(.success(index)) }
        }
    }

    /// Gives the log what it does not have yet. A log that has failed takes nothing.
    private func append(_ count: Int, _ state: inout State) {
        for _ in 0..<count {
            guard (try? self.local.log.append([state.held[0]], completion: { _ in })) != nil else { return }
            state.held.removeFirst()
        }
    }

    /// Returns when the log has everything.
    func flush() {
        self.state.withLock { state in self.append(state.held.count, &state) }
        self.peers.sync {}
        // Marks become durable after what was appended before.
        try? self.local.log.forgetCheckpoints(of: "none")
    }

    var durableIndex: LogIndex {
        if self.defect == .ignoresDurability { return self.state.withLock { $0.lastIndex } }
        return self.local.durableIndex
    }

    var holdsLease: Bool { true }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) { completion(true) }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        if self.defect == .skipsIntent { return }
        try self.local.beginCheckpoint(of: database, through: index)
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try self.local.endCheckpoint(of: database, at: index)
        self.files.checkpointEnded(of: database, at: index)
    }

    func release(through index: LogIndex) { self.local.release(through: index) }
}
