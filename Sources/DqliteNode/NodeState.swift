import DqliteEngine
import DqliteProtocol
import Logging
import NIOCore
import Synchronization

/// What all connections of a node share.
final class NodeState: Sendable {
    let id: UInt64
    /// Where others reach the node.
    let address: String
    let failureDomain: UInt64
    let cluster: any Cluster
    /// What streams from other nodes are for; nil: they are not taken.
    let peers: (any PeerReceiver)?
    let limits: DqliteNodeConfiguration.Limits
    let timeouts: DqliteNodeConfiguration.Timeouts
    let storage: any Storage
    let metrics: NodeMetrics
    let logger: Logger
    private let weightOfNode = Atomic<UInt64>(0)
    private let dumps: DumpPermits
    let partialRequests: PartialRequests

    init(
        id: UInt64, address: String, failureDomain: UInt64, limits: DqliteNodeConfiguration.Limits,
        timeouts: DqliteNodeConfiguration.Timeouts, storage: any Storage, cluster: any Cluster,
        peers: (any PeerReceiver)? = nil, metrics: NodeMetrics, logger: Logger
    ) {
        self.id = id
        self.address = address
        self.failureDomain = failureDomain
        self.cluster = cluster
        self.peers = peers
        self.limits = limits
        self.dumps = DumpPermits(count: limits.dumps)
        self.partialRequests = PartialRequests(limit: limits.partialRequestBytes)
        self.timeouts = timeouts
        self.storage = storage
        self.metrics = metrics
        self.logger = logger
    }

    /// Whether sessions may be served here.
    var isLeader: Bool { self.cluster.isServing }

    /// Of two candidates for a role the one with the lower weight is taken. Forgotten when the node stops, as in dqlite.
    var weight: UInt64 {
        get { self.weightOfNode.load(ordering: .relaxed) }
        set { self.weightOfNode.store(newValue, ordering: .relaxed) }
    }

    /// Reads a whole database. `completion` is called on a thread of the engine, or at once; it keeps the permit as long as
    /// the files, or an answer made of them, take memory.
    func dump(
        database: String,
        completion: @escaping @Sendable (Result<FilesResponse, EngineError>, DumpPermits.Permit?) -> Void
    ) {
        guard let permit = self.dumps.take() else {
            return completion(.failure(.busy("\(self.limits.dumps) dumps are being made already")), nil)
        }
        self.storage.dump(database: database) { completion($0, permit) }
    }
}

/// What a node needs of the engine. (Tests of the handlers have one of their own.)
protocol Storage: Sendable {
    func openSession(
        database: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> any StorageSession
    func dump(database: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void)
}

/// One session of the engine.
protocol StorageSession: AnyObject, Sendable {
    func run(
        _ code: RequestCode, revision: UInt8, request: any RequestBytes, timeout: Duration?,
        requiresTransaction: Bool, isCurrent: Bool, sink: any ResponseSink)
    /// Whether it takes no requests any more.
    var isOver: Bool { get }
    func resume()
    func interrupt()
    func close(completion: @escaping @Sendable () -> Void)
}

extension EngineSession: StorageSession {}

/// The engine, as the node sees it.
struct EngineStorage: Storage {
    let slot: EngineSlot

    func openSession(
        database: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> any StorageSession {
        guard let engine = self.slot.engine else { throw .isReceiving }
        return try engine.openSession(database: database, encoding: encoding, isStateless: isStateless)
    }

    func dump(database: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void) {
        guard let engine = self.slot.engine else { return completion(.failure(.isReceiving)) }
        engine.dump(database: database, completion: completion)
    }
}

/// The body of a request, as the engine reads it.
struct RequestBody: RequestBytes {
    /// Shares the memory of what was received: whoever appends to that makes a copy first, so this stays as it is.
    let buffer: ByteBuffer

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.buffer.withUnsafeReadableBytes(body)
    }
}
