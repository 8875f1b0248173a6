public import ArgumentParser
public import DqliteNode
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// `dqlite node`: runs a node until SIGTERM or SIGINT.
struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node",
        abstract: "Run a node.",
        discussion: """
            Prints one line "READY id=… pid=… address=…" on standard output when it serves, and logs on standard error. \
            SIGTERM and SIGINT stop it.
            """)

    @Option(
        help: """
            Raft id of the node. In an empty directory, and without --join, 1 makes a cluster of one; any other waits to \
            be added by a client.
            """)
    var id: UInt64 = 1

    @Option(
        help: """
            Addresses of nodes of a cluster, as HOST:PORT[,HOST:PORT…], any of which may answer: the node adds itself to \
            it. A node that is in a cluster already passes over this.
            """)
    var join: Addresses?

    @Option(help: "What a node that joins becomes: voter, standby or spare.")
    var role = DqliteNodeConfiguration.Role.voter

    @Option(help: "Where to listen, as HOST:PORT. Port 0 takes one that is free.")
    var address: NodeAddress = NodeAddress(host: "127.0.0.1", port: 9001)

    @Option(help: "Where others reach the node, as HOST:PORT, if that is not where it listens.")
    var advertise: NodeAddress?

    @Option(help: "Directory of the node's data. It is created when it is missing.")
    var dataDir: String

    @Flag(help: "Listen without TLS on an address that other machines can reach.")
    var insecure = false

    @Flag(help: "Take a version of SQLite that this program was not tested with.")
    var allowUntestedSqlite = false

    @Option(help: "How long a transaction may be open, as 30s, 500ms, 10min or 2h; then it is rolled back.")
    var maximumTransactionDuration = TimeSpan(Self.storage.maximumTransactionDuration)

    @Option(help: "How long a transaction may wait for its next request; then it is rolled back.")
    var transactionIdleLimit = TimeSpan(Self.storage.transactionIdleLimit)

    @Option(help: "Pages that a transaction may change, in bytes, KiB, MiB or GiB; a larger one fails.")
    var maximumTransactionSize = Size(bytes: Self.storage.maximumTransactionSize)

    @Option(
        help: """
            Memory for the pages of each database, not of all together: above it writers wait, and the oldest reader is \
            given up. At least twice the maximum transaction size.
            """)
    var memoryLimit = Size(bytes: Self.storage.hardMemoryLimit)

    @Option(help: "Size of the log above which it waits for no other member of the cluster any more.")
    var maximumLogSize = Size(bytes: Self.storage.maximumLogSize)

    @Option(help: "Size of a file of the log, of which there are at least two.")
    var logSegmentSize = Size(bytes: Self.storage.logSegmentSize)

    @Option(help: ArgumentHelp("Where the files of the log go that are not needed any more.", visibility: .hidden))
    var logArchive: String?

    @Option(
        help: "Least level to log: trace, debug, info, notice, warning, error or critical.",
        transform: { name in
            guard let level = Logger.Level(rawValue: name) else { throw ValidationError("there is no level \(name)") }
            return level
        })
    var logLevel: Logger.Level = .notice

    private static let storage = DqliteNodeConfiguration.Storage()

    func run() async throws {
        // Requests that come at the same time share the calls of their loop; databases and log have threads of their own.
        NIOSingletons.groupLoopCountSuggestion = max(1, System.coreCount / 2)
        LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
        var logger = Logger(label: "dqlite")
        logger.logLevel = self.logLevel
        var configuration = DqliteNodeConfiguration(address: self.address, dataDirectory: self.dataDir)
        configuration.id = self.id
        if let join = self.join { configuration.start = .join(join.list, role: self.role) }
        configuration.advertisedAddress = self.advertise
        configuration.allowsInsecureAddress = self.insecure
        configuration.allowsUntestedSQLite = self.allowUntestedSqlite
        configuration.logArchive = self.logArchive
        configuration.storage.maximumTransactionDuration = self.maximumTransactionDuration.duration
        configuration.storage.transactionIdleLimit = self.transactionIdleLimit.duration
        configuration.storage.maximumTransactionSize = self.maximumTransactionSize.bytes
        configuration.storage.hardMemoryLimit = self.memoryLimit.bytes
        configuration.storage.softMemoryLimit = min(configuration.storage.softMemoryLimit, self.memoryLimit.bytes)
        configuration.storage.maximumLogSize = self.maximumLogSize.bytes
        configuration.storage.logSegmentSize = self.logSegmentSize.bytes
        let node = DqliteNode(configuration: configuration, logger: logger)
        let group = ServiceGroup(
            services: [node], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        let id = self.id
        do {
            async let announced: Void = Self.announce(node, id: id)
            try await group.run()
            _ = try? await announced
        } catch {
            Self.write("dqlite: \(error)\n", to: STDERR_FILENO)
            throw ExitCode.failure
        }
    }

    private static func announce(_ node: DqliteNode, id: UInt64) async throws {
        let address = try await node.waitUntilReady()
        self.write("READY id=\(id) pid=\(getpid()) address=\(address)\n", to: STDOUT_FILENO)
    }

    /// Writes without a buffer that would have to be flushed.
    private static func write(_ line: String, to descriptor: CInt) {
        var bytes = Array(line.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 || errno == EINTR else { return }
            bytes = bytes.dropFirst(max(0, count))
        }
    }
}

private let systemWrite: @Sendable (CInt, UnsafeRawPointer?, Int) -> Int = { write($0, $1, $2) }

extension DqliteNodeConfiguration.Role: ExpressibleByArgument {}

/// Addresses with commas between them.
struct Addresses: ExpressibleByArgument {
    var list: [NodeAddress]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        self.list = parts.compactMap { NodeAddress(String($0)) }
        if self.list.isEmpty || self.list.count != parts.count { return nil }
    }
}

extension NodeAddress: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { self.description }
}
