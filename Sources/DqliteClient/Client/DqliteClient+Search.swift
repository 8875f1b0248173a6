import Logging
import NIOCore
public import ServiceLifecycle

extension DqliteClient: Service {
    /// Looks for the leader whenever one is wanted and none is known, and watches over the one that is. Calls wait for it, so it
    /// has to run as long as the client is used. Returns when its task is cancelled, or a graceful shutdown begins.
    public func run() async {
        self.board.begin()
        await cancelWhenGracefulShutdown { await self.searchAndWatch() }
        self.board.end()
    }

    private func searchAndWatch() async {
        while true {
            await self.board.waitForDemand()
            if Task.isCancelled { return }
            guard let (address, link) = await self.search() else { return }
            do throws(DqliteError) {
                let leader = try await LeaderConnection(
                    on: link, address: address, database: self.configuration.database, dialer: self.dialer)
                leader.closeFuture.whenComplete { _ in self.board.giveUp(leader) }
                self.logger.debug("found the leader", metadata: ["address": "\(address)"])
                self.board.publish(leader)
                await self.watch(leader)
            } catch {
                self.board.note(error)
                // What is wrong with the name of the database does not become right elsewhere.
                if error.code == .sqlite { self.board.fail(error) }
                var random = SystemRandomNumberGenerator()
                await self.board.eventLoop.wait(
                    for: Backoff.jittered(self.configuration.pollInterval, using: &random))
            }
        }
    }

    /// - Returns: nil when the task is cancelled.
    private func search() async -> (DqliteServerAddress, ConnectionLink)? {
        var search = LeaderSearch<ConnectionLink>(
            addresses: self.board.addresses(seeds: self.configuration.seeds),
            pollInterval: self.configuration.pollInterval, policy: self.configuration.retry)
        typealias Happening = (LeaderSearch<ConnectionLink>.Event, from: DqliteServerAddress)
        return await withTaskGroup(of: Happening.self) { group in
            var found: (DqliteServerAddress, ConnectionLink)?
            var actions = search.begin()
            while true {
                for action in actions {
                    switch action {
                    case .connect(let address):
                        group.addTask { (await self.connect(to: address), address) }
                    case .ask(let address, let link):
                        group.addTask { (await self.ask(link), address) }
                    case .wait(let address, let duration, let number):
                        group.addTask {
                            await self.board.eventLoop.wait(for: duration)
                            return (.waited(number), address)
                        }
                    case .close(let link): link.close(DqliteError(.connectionClosed))
                    case .found(let address, let link):
                        found = (address, link)
                        group.cancelAll()
                    }
                }
                // Those that are cancelled end at once, and may have made a connection all the same.
                guard let (event, address) = await group.next() else { return found }
                if Task.isCancelled, found == nil {
                    for case .close(let link) in search.end() { link.close(DqliteError(.connectionClosed)) }
                    group.cancelAll()
                }
                if found != nil || Task.isCancelled {
                    if case .connected(let link) = event { link.close(DqliteError(.connectionClosed)) }
                    actions = []
                } else {
                    actions = search.received(event, from: address)
                    self.board.note(search.lastError)
                }
            }
        }
    }

    private func connect(to address: DqliteServerAddress) async -> LeaderSearch<ConnectionLink>.Event {
        do throws(DqliteError) {
            return .connected(try await self.dialer.connect(to: address))
        } catch {
            return .failed(error)
        }
    }

    private func ask(_ link: ConnectionLink) async -> LeaderSearch<ConnectionLink>.Event {
        do throws(DqliteError) {
            return .answered(try await self.dialer.leader(on: link, timeout: self.configuration.probeTimeout))
        } catch {
            return .failed(error)
        }
    }

    /// Returns when the leader is given up.
    private func watch(_ leader: LeaderConnection) async {
        if let members = try? await leader.addresses(timeout: self.configuration.probeTimeout), !members.isEmpty {
            self.board.set(members: members)
        }
        var wasBusy = false
        while !Task.isCancelled {
            let isLost = await self.board.waitForLoss(of: leader, atMost: self.configuration.livenessTimeout)
            if isLost { return }
            let isBusy = leader.isBusy
            defer { wasBusy = isBusy }
            guard isBusy, wasBusy, !Task.isCancelled else { continue }
            do throws(DqliteError) {
                if try await leader.isLeading(timeout: self.configuration.livenessTimeout) { continue }
                self.logger.debug("the node does not lead any more", metadata: ["address": "\(leader.address)"])
            } catch {
                if Task.isCancelled { return }
                self.logger.debug("the leader does not answer", metadata: ["address": "\(leader.address)"])
                self.board.note(error)
                leader.close(
                    DqliteError(
                        .connectionClosed, message: "the leader did not answer when it was asked whether it lives",
                        underlyingError: error))
            }
            self.board.giveUp(leader)
            return
        }
    }
}
