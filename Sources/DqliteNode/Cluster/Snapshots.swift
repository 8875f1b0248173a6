import DqliteEngine
import DqliteLog
import DqliteRaft
import Logging
import NIOCore
import Synchronization

/// Copies of all databases, for members that lag behind the log and from leaders that this node lags behind.
final class Snapshots: Sendable {
    private struct Copy {
        var target: NodeID
        /// What ends it; nil: it has no connection yet.
        var cancel: (@Sendable () -> Void)?
        /// The log has not waited for it.
        var isDropped = false
    }

    private struct State {
        weak var member: Member?
        /// The copies that are being sent, at most one to each member.
        var copies: [UInt64: Copy] = [:]
        var lastStream: UInt64 = 0
    }

    private let state = Mutex(State())

    func serve(_ member: Member) { self.state.withLock { $0.member = member } }

    // MARK: Sending

    /// A member needs entries that the log has no more.
    func needed(by node: NodeID) {
        let job = self.state.withLock { state -> (Member, UInt64)? in
            guard let member = state.member, !state.copies.values.contains(where: { $0.target == node }) else {
                return nil
            }
            state.lastStream += 1
            state.copies[state.lastStream] = Copy(target: node)
            return (member, state.lastStream)
        }
        guard let (member, stream) = job else { return }
        let hasBegun = startThread { self.send(to: node, stream: stream, member) }
        if !hasBegun { self.ended(node, stream: stream, member, .failure(SnapshotError(.cancelled, "no thread"))) }
    }

    private func send(to node: NodeID, stream: UInt64, _ member: Member) {
        let source: EngineSnapshotSource
        let metadata: SnapshotMetadata
        let address: String
        do {
            guard let engine = member.engines.engine, let known = member.transport.address(of: node) else {
                throw SnapshotError(.cancelled, "the member is not known any more")
            }
            address = known
            // From here on the log keeps what the receiver will need.
            let copy = try engine.beginCopy { member.driver.append(.stream(stream, start: $0)) }
            source = EngineSnapshotSource(copy)
            metadata = try member.metadata(at: copy.start)
        } catch {
            let reason = (error as? EngineError)?.message ?? "\(error)"
            return self.ended(node, stream: stream, member, .failure(SnapshotError(.engine, reason)))
        }
        member.logger.notice(
            "A member lags behind the log: it gets a copy of the databases",
            metadata: ["dqlite.peer": "\(node)", "dqlite.bytes": "\(source.size)", "dqlite.index": "\(metadata.index)"])
        let dial = member.configuration.dial ?? dialByTCP
        let greeting = member.transport.greeting
        let term = member.driver.view.term
        dial(address, member.configuration.eventLoops.next()).flatMap { channel in
            greeting.greet(channel, expecting: node.rawValue)
        }.flatMapThrowing { channel in
            let sender = SnapshotSender(source: source, term: term, metadata: metadata) { result in
                self.ended(node, stream: stream, member, result)
            }
            try channel.pipeline.syncOperations.addHandler(sender)
            let bound = NIOLoopBound(sender, eventLoop: channel.eventLoop)
            let cancel = { @Sendable in
                channel.eventLoop.execute {
                    bound.value.cancel(because: "the log has become too long to wait for the copy")
                }
            }
            let isDropped = self.state.withLock { state in
                state.copies[stream]?.cancel = cancel
                return state.copies[stream]?.isDropped ?? true
            }
            if isDropped { cancel() }
        }.whenFailure { error in
            self.ended(node, stream: stream, member, .failure(SnapshotError(.connection, "\(error)")))
        }
    }

    /// The log has not waited for a copy: what is received would be of no use.
    func dropped(_ stream: UInt64) {
        let cancel = self.state.withLock { state in
            state.copies[stream]?.isDropped = true
            return state.copies[stream]?.cancel
        }
        cancel?()
    }

    private func ended(_ node: NodeID, stream: UInt64, _ member: Member, _ result: Result<Void, SnapshotError>) {
        let succeeded: Bool
        switch result {
        case .success:
            succeeded = true
            member.logger.notice("A member has a copy of the databases", metadata: ["dqlite.peer": "\(node)"])
        case .failure(let error):
            succeeded = false
            member.logger.warning(
                "A copy of the databases did not get to a member; it is tried again while it lags",
                metadata: ["dqlite.peer": "\(node)", "error": "\(error)"])
        }
        self.state.withLock { $0.copies[stream] = nil }
        // What it is told next says how far it is; from then on the log waits for it as for any member.
        member.driver.append(.snapshotSent(node, succeeded: succeeded))
        member.driver.append(.stream(stream, start: nil))
    }

    // MARK: Receiving

    func receiver(from node: NodeID, _ member: Member) -> SnapshotReceiver {
        let isExpected = Flag()
        return SnapshotReceiver(directory: member.directory) { offer, decision in
            member.driver.append(
                .offer(offer.term, offer.metadata, from: node) { isWanted in
                    guard isWanted else {
                        return decision.fail(SnapshotError(.refused, "the snapshot is not needed (any more)"))
                    }
                    isExpected.set()
                    member.logger.notice(
                        "This node lags behind the leader's log: it receives a copy of the databases",
                        metadata: ["dqlite.peer": "\(node)", "dqlite.bytes": "\(offer.size)"])
                    decision.succeed(())
                })
        } completed: { result in
            switch result {
            case .success(let installation):
                if !startThread({ self.install(installation, member) }) { member.failed("the system has no thread") }
            case .failure(let error):
                if isExpected.isSet {
                    member.logger.warning(
                        "A copy of the databases was not received", metadata: ["error": "\(error)"])
                    member.driver.append(.snapshotFailed)
                }
            }
        }
    }

    /// Replaces databases and log by what was received. Waits for the disk.
    private func install(_ installation: SnapshotInstallation, _ member: Member) {
        member.driver.applier.release()
        let old = member.engines.engine
        member.engines.engine = nil
        old?.close(because: "the node has received a copy of the databases from the leader: ask again")
        do {
            let outcome = try installation.install(into: member.log)
            guard outcome == .installed else {
                throw SnapshotError(.refused, "the log of this node begins after the snapshot")
            }
            let index = installation.metadata.index
            let engine = try member.makeEngine(applied: index)
            member.driver.append(.snapshotInstalled(installation.metadata))
            member.driver.applier.use(engine, applied: index)
            member.logger.notice(
                "The databases were replaced by the leader's", metadata: ["dqlite.index": "\(index)"])
        } catch {
            let reason = (error as? EngineError)?.message ?? "\(error)"
            member.failed("a copy of the databases could not be installed: \(reason)")
        }
    }
}

extension Member {
    func snapshotReceiver(from node: NodeID) -> any ChannelHandler {
        self.snapshots.receiver(from: node, self)
    }

    /// What is to be known of an entry of the log that a copy begins with.
    fileprivate func metadata(at index: LogIndex) throws -> SnapshotMetadata {
        let status = self.log.status
        guard let term = self.log.term(of: index),
            let stored = status.configurations.last(where: { $0.index <= index })
        else { throw SnapshotError(.engine, "the log knows nothing of entry \(index), with which the copy begins") }
        return SnapshotMetadata(
            index: index, term: term, configuration: try Configuration(decoding: stored.data),
            configurationIndex: stored.index)
    }
}

/// Whether something has happened.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { self.value.load(ordering: .acquiring) }

    func set() { self.value.store(true, ordering: .releasing) }
}
