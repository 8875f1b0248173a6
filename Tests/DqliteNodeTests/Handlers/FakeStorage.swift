import DqliteEngine
import DqliteProtocol
import DqliteRaft
import Logging
import Synchronization

@testable import DqliteNode

/// A storage of which the test is the engine.
final class FakeStorage: Storage {
    private let state = Mutex<[FakeSession]>([])
    let files = Mutex<Result<FilesResponse, EngineError>>(.success(FilesResponse()))

    var sessions: [FakeSession] { self.state.withLock { $0 } }

    func openSession(
        database: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> any StorageSession {
        guard database != "refused" else { throw EngineError(code: FailureCode.cannotOpen, message: "no such name") }
        let session = FakeSession(database: database, encoding: encoding, isStateless: isStateless)
        self.state.withLock { $0.append(session) }
        return session
    }

    func dump(database: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void) {
        completion(self.files.withLock { $0 })
    }
}

/// A session that remembers what it is told, and answers when the test says so.
final class FakeSession: StorageSession {
    struct Run: Sendable {
        var code: RequestCode
        var revision: UInt8
        var body: [UInt8]
        var timeout: Duration?
        var requiresTransaction: Bool
        var isCurrent: Bool
        var sink: any ResponseSink
    }

    struct State: Sendable {
        var runs: [Run] = []
        var resumes = 0
        var interrupts = 0
        var isClosed = false
        /// Bytes of the parts that are still to come.
        var parts: [Int] = []
        var isPaused = false
        /// Whether the engine has closed it.
        var isOver = false
    }

    let database: String
    let encoding: WireEncoding
    let isStateless: Bool
    let state = Mutex(State())

    init(database: String, encoding: WireEncoding, isStateless: Bool) {
        self.database = database
        self.encoding = encoding
        self.isStateless = isStateless
    }

    var runs: [Run] { self.state.withLock { $0.runs } }
    var resumes: Int { self.state.withLock { $0.resumes } }
    var interrupts: Int { self.state.withLock { $0.interrupts } }
    var isClosed: Bool { self.state.withLock { $0.isClosed } }
    var sink: any ResponseSink { self.runs.last!.sink }

    func run(
        _ code: RequestCode, revision: UInt8, request: any RequestBytes, timeout: Duration?,
        requiresTransaction: Bool, isCurrent: Bool, sink: any ResponseSink
    ) {
        let body = request.withUnsafeBytes { [UInt8]($0) }
        self.state.withLock {
            $0.runs.append(
                Run(
                    code: code, revision: revision, body: body, timeout: timeout,
                    requiresTransaction: requiresTransaction, isCurrent: isCurrent, sink: sink))
        }
    }

    func resume() {
        let isPaused = self.state.withLock { state in
            state.resumes += 1
            defer { state.isPaused = false }
            return state.isPaused
        }
        if isPaused { self.produce() }
    }

    var isOver: Bool { self.state.withLock { $0.isOver } }

    func interrupt() { self.state.withLock { $0.interrupts += 1 } }

    func close(completion: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.isClosed = true }
        completion()
    }

    /// Answers with a result of parts of these sizes, pausing where the sink says so.
    func produce(parts: [Int]) {
        self.state.withLock { $0.parts = parts }
        self.produce()
    }

    private func produce() {
        while let size = self.state.withLock({ $0.parts.first }) {
            guard self.sink.partLimit >= size else {
                self.state.withLock { $0.isPaused = true }
                return self.sink.blocked(bytesNeeded: size)
            }
            let more = self.state.withLock { state in
                state.parts.removeFirst()
                state.isPaused = !state.parts.isEmpty
                return state.isPaused
            }
            self.sink.write(atLeast: size) { memory in
                for index in 0..<size { memory[index] = 0 }
                return size
            }
            guard self.sink.endPart(more: more) else { return }
            self.state.withLock { $0.isPaused = false }
        }
    }

    /// Ends what runs, as the engine does when it is interrupted.
    func endInterrupted() {
        self.state.withLock { state in
            state.parts = []
            state.isPaused = false
        }
        self.sink.failure(EngineError(code: FailureCode.interrupted, message: "interrupted", outcome: .notCommitted))
    }
}

extension NodeState {
    /// A node of a test: the node 1 at 127.0.0.1:9001.
    static func forTests(
        id: UInt64 = 1, storage: any Storage, serves: Bool = true, peers: (any PeerReceiver)? = nil,
        change: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }
    ) -> NodeState {
        var limits = DqliteNodeConfiguration.Limits()
        change(&limits)
        return NodeState(
            id: id, address: "127.0.0.1:9001", failureDomain: 3, limits: limits, timeouts: .init(), storage: storage,
            cluster: FakeCluster(id: id, serves: serves), peers: peers, metrics: NodeMetrics(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// A cluster of the node 1, which leads; another id is no member of any.
final class FakeCluster: Cluster {
    private let id: UInt64
    private let serves: Bool

    /// - Parameter serves: false: it leads, and does not know yet all that is committed.
    init(id: UInt64, serves: Bool = true) {
        self.id = id
        self.serves = serves
    }

    private var isMember: Bool { self.id == 1 || self.id == DqliteNodeConfiguration.bootstrapID }

    var isServing: Bool { self.serves && self.isMember }

    var view: ClusterView {
        guard self.isMember else { return ClusterView() }
        let server = Configuration.Server(id: NodeID(self.id), address: "127.0.0.1:9001", role: .voter)
        return ClusterView(
            term: Term(1), role: .leader, leader: NodeID(self.id), configuration: Configuration(servers: [server]),
            configurationIndex: LogIndex(1))
    }

    func change(_ change: ClusterChange, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void) {
        guard self.isServing else { return completion(.failure(.notLeader)) }
        switch change {
        case .member(.add(let id, _)) where id == NodeID(self.id):
            completion(.failure(EngineError(RaftError.alreadyMember(id))))
        case .member(.add): completion(.success(()))
        case .member(.assign(let id, _)), .member(.remove(let id)):
            completion(.failure(EngineError(RaftError.unknownServer(id))))
        case .transfer(let target): completion(.failure(EngineError(RaftError.invalidTransferTarget(target))))
        }
    }

    func confirmFreshness(
        within bound: Duration, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void
    ) { completion(self.isServing ? .success(()) : .failure(.noFreshness)) }
}
