import BenchmarkSupport
import DqliteClient
import NIOCore
import NIOPosix

/// A round of clients against a cluster.
struct Load {
    var group: MultiThreadedEventLoopGroup
    var data: Dataset
    var patience: Patience

    /// What a client does between two answers is done where the answers arrive: so the clients need as little as they can of
    /// what the nodes could use.
    func run(
        _ workload: Workload, on cluster: Cluster, clients count: Int, time: Duration, warmUp: Duration? = nil,
        isOver: StopSign = StopSign()
    ) async throws -> LoadFigures {
        let leader = try await cluster.leader()
        let executor = EventLoopTaskExecutor(self.group.next())
        return try await withTaskExecutorPreference(executor) {
            var clients: [Client] = []
            do {
                for index in 0..<count {
                    let connection = try await Cluster.connect(to: leader.port, group: self.group)
                    clients.append(
                        try await Client(
                            workload, self.data, connection, patience: self.patience, seed: index * 7919))
                }
                let figures = try await self.run(clients, leader, cluster, { Round(time, warmUp: warmUp) }, isOver)
                for client in clients { await client.connection.close() }
                return figures
            } catch {
                for client in clients { await client.connection.close() }
                throw error
            }
        }
    }

    private func run(
        _ clients: [Client], _ leader: ClusterNode, _ cluster: Cluster, _ beginRound: () -> Round,
        _ isOver: StopSign
    ) async throws -> LoadFigures {
        for node in cluster.nodes { node.forgetHighWaterMark() }
        let clientTime = ProcessFigures.ownProcessorTime()
        let nodeTime = cluster.processorTime
        let began = NIODeadline.now()
        let round = beginRound()
        let samples = try await withThrowingTaskGroup(of: Samples.self) { tasks in
            for client in clients { tasks.addTask { try await client.run(round, isOver: isOver) } }
            var samples: [Samples] = []
            for try await result in tasks { samples.append(result) }
            return samples
        }
        let elapsed = Double((NIODeadline.now() - began).nanoseconds) / 1e9
        let nodeSeconds = cluster.processorTime - nodeTime
        return LoadFigures(
            round: Samples.figures(
                samples, round: round, clientTime: ProcessFigures.ownProcessorTime() - clientTime,
                nodeTime: nodeSeconds),
            elapsed: elapsed, nodeSeconds: nodeSeconds,
            peaks: cluster.nodes.map { Double($0.memory.highWaterMark) },
            leader: cluster.nodes.firstIndex { $0 === leader }!)
    }
}
