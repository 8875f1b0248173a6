public import DqliteNode
public import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A cluster in the process of a test: real nodes on free ports of the loopback interface, in directories that go with it, whose
/// links can be cut.
///
/// ```swift
/// try await DqliteTestCluster.with(nodes: 3) { cluster in
///     let client = DqliteClient(configuration: .init(seeds: cluster.addresses…, database: "test"), …)
///     try await cluster.cut(1)
///     …
/// }
/// ```
public final class DqliteTestCluster: Sendable {
    private struct State {
        var nodes:
            [UInt64: (node: DqliteNode, group: ServiceGroup, task: Task<Void, any Error>, address: NodeAddress)] = [:]
    }

    private let state = Mutex(State())
    private let directory: String
    private let switchboard = Switchboard()
    private let configure: @Sendable (inout DqliteNodeConfiguration) -> Void
    private let logger: Logger

    private init(
        directory: String, configure: @escaping @Sendable (inout DqliteNodeConfiguration) -> Void, logger: Logger
    ) {
        self.directory = directory
        self.configure = configure
        self.logger = logger
    }

    /// Starts a cluster whose nodes have the ids from 1 on, runs the body, and stops it.
    ///
    /// - Parameters:
    ///   - configure: Changes the configuration of each node.
    /// - Throws: What the body throws, or why a node did not start.
    public static func with<Value: Sendable>(
        nodes count: Int = 3, logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        configure: @escaping @Sendable (inout DqliteNodeConfiguration) -> Void = { _ in },
        _ body: (DqliteTestCluster) async throws -> Value
    ) async throws -> Value {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "dqlite-cluster-\(UUID().uuidString)"
        ).path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let cluster = DqliteTestCluster(directory: directory, configure: configure, logger: logger)
        let result: Result<Value, any Error>
        do {
            for id in 1...UInt64(count) { try await cluster.start(id) }
            try await cluster.waitUntil { status in status.servers.count { $0.role == .voter } == count }
            result = .success(try await body(cluster))
        } catch {
            result = .failure(error)
        }
        for id in cluster.ids { await cluster.stop(id) }
        try? FileManager.default.removeItem(atPath: directory)
        return try result.get()
    }

    /// The nodes that run.
    public var ids: [UInt64] { self.state.withLock { $0.nodes.keys.sorted() } }

    /// Where they are reached.
    public var addresses: [NodeAddress] {
        self.state.withLock { state in state.nodes.sorted { $0.key < $1.key }.map(\.value.address) }
    }

    /// A node that runs.
    public func node(_ id: UInt64) -> DqliteNode? { self.state.withLock { $0.nodes[id]?.node } }

    /// Starts a node: a new one joins the cluster, if it is not the first; one that was stopped goes on at its address.
    public func start(
        _ id: UInt64, role: DqliteNodeConfiguration.Role = .voter,
        change: (inout DqliteNodeConfiguration) -> Void = { _ in }
    ) async throws {
        let address = self.switchboard.address(of: id) ?? NodeAddress(host: "127.0.0.1", port: 0)
        var configuration = DqliteNodeConfiguration(address: address, dataDirectory: "\(self.directory)/\(id)")
        configuration.id = id
        let others = self.addresses
        configuration.start = others.isEmpty ? .automatic : .join(others, role: role)
        configuration.dial = { [switchboard] in switchboard.dial(from: id, to: $0, on: $1) }
        self.configure(&configuration)
        change(&configuration)
        let node = DqliteNode(configuration: configuration, logger: self.logger)
        let group = ServiceGroup(services: [node], logger: self.logger)
        let task = Task { try await group.run() }
        let bound = try await node.waitUntilReady()
        self.switchboard.learned(id, bound)
        self.state.withLock { $0.nodes[id] = (node, group, task, bound) }
    }

    /// Stops a node, which hands over what it has, and returns when that is done.
    public func stop(_ id: UInt64) async {
        guard let (_, group, task, _) = self.state.withLock({ $0.nodes.removeValue(forKey: id) }) else { return }
        await group.triggerGracefulShutdown()
        _ = await task.result
    }

    /// Cuts a node off from all others. Clients still reach it.
    public func cut(_ id: UInt64) { self.switchboard.cut(id) }

    /// Takes back ``cut(_:)``.
    public func heal(_ id: UInt64) { self.switchboard.heal(id) }

    /// The node that leads and serves, as soon as one does.
    ///
    /// - Parameter excluded: Not this one.
    public func leader(except excluded: UInt64? = nil) async throws -> UInt64 {
        while true {
            let nodes = self.state.withLock { $0.nodes.mapValues(\.node) }
            for (id, node) in nodes where id != excluded && node.status?.isServing ?? false { return id }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Waits until something is so for every node.
    public func waitUntil(_ condition: (DqliteNode.Status) -> Bool) async throws {
        while true {
            let statuses = self.state.withLock { $0.nodes.values.map(\.node) }.map(\.status)
            if statuses.allSatisfy({ $0.map(condition) ?? false }) { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// Waits until all nodes have applied the same entries.
    public func waitUntilEqual() async throws {
        while true {
            let applied = self.state.withLock { $0.nodes.values.map(\.node) }.map { $0.status?.appliedIndex }
            if Set(applied).count == 1 { return }
            try await Task.sleep(for: .milliseconds(5))
        }
    }
}

/// The links between the nodes of a cluster in one process.
private final class Switchboard: Sendable {
    private struct State {
        var addresses: [UInt64: NodeAddress] = [:]
        var isolated: Set<UInt64> = []
        var links: [ObjectIdentifier: (from: UInt64, to: UInt64, channel: any Channel)] = [:]
    }

    private struct IsCut: Error {}

    private let state = Mutex(State())

    func address(of id: UInt64) -> NodeAddress? { self.state.withLock { $0.addresses[id] } }

    func learned(_ id: UInt64, _ address: NodeAddress) { self.state.withLock { $0.addresses[id] = address } }

    func cut(_ id: UInt64) {
        let channels = self.state.withLock { state in
            state.isolated.insert(id)
            return state.links.values.filter { $0.from == id || $0.to == id }.map(\.channel)
        }
        for channel in channels { channel.close(promise: nil) }
    }

    func heal(_ id: UInt64) { self.state.withLock { _ = $0.isolated.remove(id) } }

    func dial(from id: UInt64, to address: String, on eventLoop: any EventLoop) -> EventLoopFuture<any Channel> {
        guard let address = NodeAddress(address) else { return eventLoop.makeFailedFuture(IsCut()) }
        return ClientBootstrap(group: eventLoop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connect(host: address.host, port: address.port)
            .flatMapThrowing { channel in
                let isCut = self.state.withLock { state in
                    let target = state.addresses.first { $0.value == address }?.key ?? 0
                    guard !state.isolated.contains(id), !state.isolated.contains(target) else { return true }
                    state.links[ObjectIdentifier(channel)] = (id, target, channel)
                    return false
                }
                if isCut {
                    channel.close(promise: nil)
                    throw IsCut()
                }
                channel.closeFuture.whenComplete { _ in
                    self.state.withLock { $0.links[ObjectIdentifier(channel)] = nil }
                }
                return channel
            }
    }
}
