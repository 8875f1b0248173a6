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
    /// Whether the node leads: a node alone leads if it has a configuration, and has one if it made the cluster.
    let isLeader: Bool
    let limits: DqliteNodeConfiguration.Limits
    let timeouts: DqliteNodeConfiguration.Timeouts
    let storage: any Storage
    let metrics: NodeMetrics
    let logger: Logger
    private let weightOfNode = Atomic<UInt64>(0)
    private let dumps: DumpPermits
    let partialRequests: PartialRequests

    /// The id that old versions of dqlite gave to the node that makes the cluster.
    static let bootstrapID: UInt64 = 0x2dc1_7185_8c31_55be

    init(
        id: UInt64, address: String, failureDomain: UInt64, limits: DqliteNodeConfiguration.Limits,
        timeouts: DqliteNodeConfiguration.Timeouts, storage: any Storage, metrics: NodeMetrics, logger: Logger
    ) {
        self.id = id
        self.address = address
        self.failureDomain = failureDomain
        self.isLeader = id == 1 || id == Self.bootstrapID
        self.limits = limits
        self.dumps = DumpPermits(count: limits.dumps)
        self.partialRequests = PartialRequests(limit: limits.partialRequestBytes)
        self.timeouts = timeouts
        self.storage = storage
        self.metrics = metrics
        self.logger = logger
    }

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
        requiresTransaction: Bool, sink: any ResponseSink)
    func resume()
    func interrupt()
    func close(completion: @escaping @Sendable () -> Void)
}

extension EngineSession: StorageSession {}

/// The engine, as the node sees it.
struct EngineStorage: Storage {
    let engine: Engine

    func openSession(
        database: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> any StorageSession {
        try self.engine.openSession(database: database, encoding: encoding, isStateless: isStateless)
    }

    func dump(database: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void) {
        self.engine.dump(database: database, completion: completion)
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
