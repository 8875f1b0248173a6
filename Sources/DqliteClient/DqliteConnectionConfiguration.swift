/// How a connection behaves.
public struct DqliteConnectionConfiguration: Hashable, Sendable {
    /// One of the two encodings of the protocol.
    public enum Encoding: Hashable, Sendable {
        /// Many sessions and many requests at a time on one connection. Spoken by the nodes of this project.
        case protobuf
        /// What every dqlite node speaks: one request at a time.
        case dqlite
    }

    /// The encoding to speak.
    public var encoding: Encoding = .protobuf
    /// How long establishing the connection and opening the database may take together.
    public var connectTimeout: Duration = .seconds(5)
    /// How long a call may wait for its answer, a query for its first row; nil: for ever. Calls can say otherwise, see
    /// ``DqliteCallOptions``.
    public var callTimeout: Duration? = .seconds(5)
    /// How current the data must be that reads see, unless a call says otherwise; carried by the protobuf encoding only. nil: as
    /// the node is configured. With ``DqliteCallOptions/ReadConsistency/stale(maximumLag:)`` a connection to any node of the
    /// cluster opens a database and reads there; otherwise only the leader opens databases.
    public var readConsistency: DqliteCallOptions.ReadConsistency?
    /// How many bytes of a result may wait here for the program to read them. The node is told, or feels, when it has to wait.
    public var resultWindow = 256 * 1024
    /// The largest row, in bytes, for which the window is exceeded. A larger one ends its query with
    /// ``DqliteError/Code-swift.struct/rowTooLarge`` (protobuf encoding; the dqlite encoding knows only frames).
    public var maximumRowSize = 16 * 1024 * 1024
    /// The largest frame that is accepted, in bytes; at most 64 MiB with the protobuf encoding. The connection is closed above it.
    /// A row or a window that is larger is refused as a configuration.
    public var maximumFrameSize = 64 * 1024 * 1024
    /// How many requests may wait on one connection at a time, those that were sent included. Those above it fail with
    /// ``DqliteError/Code-swift.struct/tooManyRequests``.
    public var maximumQueuedRequests = 1024
    /// How long the node may take to answer a request that was taken back. The connection is closed after it.
    public var interruptTimeout: Duration = .seconds(10)

    /// The defaults.
    public init() {}

    /// The defaults, with another encoding.
    public init(encoding: Encoding) { self.encoding = encoding }

    /// What contradicts itself; nil when nothing does.
    var problem: String? {
        if self.resultWindow < 4096 { return "resultWindow is below 4096 bytes" }
        if self.maximumFrameSize < 64 * 1024 { return "maximumFrameSize is below 64 KiB" }
        if self.maximumRowSize < 1 { return "maximumRowSize is not positive" }
        if self.maximumQueuedRequests < 1 { return "maximumQueuedRequests is not positive" }
        if self.maximumRowSize > self.maximumFrameSize { return "maximumRowSize is above maximumFrameSize" }
        if self.resultWindow > self.maximumFrameSize { return "resultWindow is above maximumFrameSize" }
        if self.encoding == .protobuf, self.maximumFrameSize > 64 * 1024 * 1024 {
            return "maximumFrameSize is above 64 MiB, the largest frame of the protobuf encoding"
        }
        if self.encoding == .dqlite, self.readConsistency != nil {
            return "the dqlite encoding cannot carry readConsistency"
        }
        if self.interruptTimeout <= .zero { return "interruptTimeout is not positive" }
        if let callTimeout = self.callTimeout, callTimeout <= .zero { return "callTimeout is not positive" }
        if self.connectTimeout <= .zero { return "connectTimeout is not positive" }
        return nil
    }
}

/// What a single call wants to have otherwise.
public struct DqliteCallOptions: Hashable, Sendable {
    /// How current the data must be that a read sees. Carried by the protobuf encoding only.
    public struct ReadConsistency: Hashable, Sendable {
        enum Base: Hashable, Sendable {
            case linearizable
            case leader
            case stale(maximumLag: Duration)
        }

        let base: Base

        /// Everything that was acknowledged before the read began.
        public static var linearizable: ReadConsistency { ReadConsistency(base: .linearizable) }
        /// What the node that believes to be the leader has, without asking the others.
        public static var leader: ReadConsistency { ReadConsistency(base: .leader) }
        /// What the node has, leader or not: everything at least that had been acknowledged that long before the request came. It
        /// asks the leader how far it must be, unless it did so within that time. Whole milliseconds.
        public static func stale(maximumLag: Duration) -> ReadConsistency {
            ReadConsistency(base: .stale(maximumLag: maximumLag))
        }
    }

    /// How long the call may wait for its answer; of a query, for its first row. The protobuf encoding tells the node, which then
    /// also ends a result that is not read to its end in that time. nil: as the connection is configured.
    public var timeout: Duration?
    /// How current the data must be that a read sees. nil: as the connection is configured. The dqlite encoding cannot carry it:
    /// the call fails with ``DqliteError/Code-swift.struct/invalidQuery``.
    public var readConsistency: ReadConsistency?

    public init(timeout: Duration? = nil, readConsistency: ReadConsistency? = nil) {
        self.timeout = timeout
        self.readConsistency = readConsistency
    }

    /// As the connection is configured.
    public static var defaults: DqliteCallOptions { DqliteCallOptions() }
}
