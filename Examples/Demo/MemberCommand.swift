import ArgumentParser
import DqliteClient
import DqliteNode
import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import UnixSignals

/// What each of the three processes runs: an application that carries a node of the cluster, and writes to the cluster.
struct MemberCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "member", shouldDisplay: false)

    @Option var id: UInt64
    @Option(parsing: .upToNextOption, help: "Ports of all members; that of member 1 is the first.") var ports: [Int]
    @Option var dataDir: String
    @Option(help: "Number of the writer's first write.") var firstWrite: Int

    func run() async throws {
        // Ctrl-C in a terminal reaches all processes there; it is for the one that started this one.
        signal(SIGINT, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
        var logger = Logger(label: "member-\(self.id)")
        logger.logLevel = .notice

        let addresses = self.ports.map { NodeAddress(host: "127.0.0.1", port: $0) }
        var configuration = DqliteNodeConfiguration(
            address: addresses[Int(self.id) - 1], dataDirectory: self.dataDir)
        configuration.id = self.id
        // Member 1 makes the cluster, the others join it: the first time only, later they know where they belong.
        if self.id > 1 { configuration.start = .join(addresses) }
        let node = DqliteNode(configuration: configuration, logger: logger)

        let seeds = self.ports.map { DqliteServerAddress.hostname("127.0.0.1", port: $0) }
        let client = DqliteClient(configuration: .init(seeds: seeds, database: Table.database), logger: logger)
        let writer = Writer(id: self.id, client: client, firstWrite: self.firstWrite)
        let orders = OrderTaker(
            node: node, writer: writer, dump: URL(filePath: self.dataDir + ".db"), orders: Order.received())

        let group = ServiceGroup(
            services: [node, client, writer, LeadershipReporter(node: node), orders],
            gracefulShutdownSignals: [.sigterm], logger: logger)
        do {
            try await group.run()
        } catch {
            News.failed("\(error)").tell()
            throw ExitCode.failure
        }
    }
}

/// Tells who leads, whenever that changes.
struct LeadershipReporter: Service {
    let node: DqliteNode

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            _ = try await self.node.waitUntilReady()
            News.ready.tell()
            for await news in try self.node.leadershipChanges() {
                News.leadership(term: news.term, leads: news.isServing).tell()
            }
            try? await gracefulShutdown()
        }
    }
}

/// Does what the process is told.
struct OrderTaker: Service {
    let node: DqliteNode
    let writer: Writer
    let dump: URL
    let orders: AsyncStream<Order>

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            for await order in self.orders {
                switch order {
                case .write: self.writer.isWriting.store(true, ordering: .relaxed)
                case .pause: self.writer.isWriting.store(false, ordering: .relaxed)
                case .dump:
                    // One that has just come back may not have heard yet that there is a database.
                    let database = (try? await self.node.dump(database: Table.database)) ?? ByteBuffer()
                    try Data(database.readableBytesView).write(to: self.dump)
                    News.dumped.tell()
                }
            }
        }
    }
}
