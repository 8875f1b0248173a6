import ArgumentParser
import DqliteNode
import Logging

/// `dqlite recover`: makes a cluster of what is left of one.
struct RecoverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Give the data of a stopped node another cluster.",
        discussion: """
            For when a majority of the voters is lost for ever. Stop all nodes; choose the one whose log is longest; run \
            this on its data directory; copy that to the other servers that are left, or let them start empty and join. \
            What only the lost nodes had is lost.
            """)

    @Option(help: "Directory of the node's data.")
    var dataDir: String

    @Option(help: "Raft id of the node; the first of the cluster if it is not said.")
    var id: UInt64?

    @Option(help: "The new cluster, as ID@HOST:PORT[,ID@HOST:PORT…]. All of its servers vote.")
    var cluster: Servers

    func run() async throws {
        var logger = Logger(label: "dqlite") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .notice
        let first = self.cluster.list[0]
        var configuration = DqliteNodeConfiguration(address: first.address, dataDirectory: self.dataDir)
        configuration.id = self.id ?? first.id
        let node = DqliteNode(configuration: configuration, logger: logger)
        do {
            try await node.recover(servers: self.cluster.list)
        } catch {
            throw ValidationError("\(error)")
        }
        let members = self.cluster.list.map { "\($0.id)@\($0.address)" }.joined(separator: ", ")
        print("Node \(configuration.id) in \(self.dataDir) is now a member of the cluster \(members).")
    }
}

/// Servers with commas between them.
struct Servers: ExpressibleByArgument {
    var list: [DqliteServer]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        self.list = parts.compactMap { part in
            guard let at = part.firstIndex(of: "@"), let id = UInt64(part[..<at]),
                let address = NodeAddress(String(part[part.index(after: at)...]))
            else { return nil }
            return DqliteServer(id: id, address: address)
        }
        if self.list.isEmpty || self.list.count != parts.count { return nil }
    }
}
