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
        /// In the C form: what to tell when the target has everything through a place.
        var answered: (index: LogIndex, tell: @Sendable () -> Void)?
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
    /// Copies of which the answers come with those to entries.
    private let awaitsAnswers = Atomic<Int>(0)

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
        let form = member.transport.form(of: node)
        // Later it may be another one, in which this node does not lead.
        let term = member.driver.view.term
        do {
            guard let engine = member.engines.engine, let address = member.transport.address(of: node) else {
                throw SnapshotError(.cancelled, "the member is not known any more")
            }
            // From here on the log keeps what the receiver will need.
            let copy = try engine.beginCopy { member.driver.append(.stream(stream, start: $0)) }
            member.logger.notice(
                "A member lags behind the log: it gets a copy of the databases",
                metadata: [
                    "dqlite.peer": "\(node)", "dqlite.bytes": "\(copy.size)", "dqlite.index": "\(copy.start)",
                    "dqlite.form": "\(form)",
                ])
            switch form {
            case .native: try self.send(copy, term, to: node, at: address, stream: stream, member)
            case .c: try self.sendSettled(copy, term, to: node, at: address, stream: stream, member)
            }
        } catch {
            let reason = (error as? EngineError)?.message ?? "\(error)"
            self.ended(node, stream: stream, member, .failure(SnapshotError(.engine, reason)))
        }
    }

    /// Sends files as they are, whose entries follow.
    private func send(
        _ copy: EngineCopy, _ term: Term, to node: NodeID, at address: String, stream: UInt64, _ member: Member
    ) throws {
        let source = EngineSnapshotSource(copy)
        let metadata = try member.metadata(at: copy.start)
        self.dial(node, at: address, form: .native, stream: stream, member) { channel in
            let sender = SnapshotSender(source: source, term: term, metadata: metadata) { result in
                self.ended(node, stream: stream, member, result)
            }
            try channel.pipeline.syncOperations.addHandler(sender)
            let bound = NIOLoopBound(sender, eventLoop: channel.eventLoop)
            self.began(stream) {
                channel.eventLoop.execute { bound.value.cancel(because: Self.tooLong) }
            }
        }
    }

    /// Sends files that are as they were at one entry, in the C form.
    private func sendSettled(
        _ copy: EngineCopy, _ term: Term, to node: NodeID, at address: String, stream: UInt64, _ member: Member
    ) throws {
        try SnapshotFiles.makeDirectory(member.directory.outgoing, mayExist: true)
        let source = try SettledSource(
            copy, log: member.log, in: "\(member.directory.outgoing)/\(stream)",
            room: member.configuration.storage.maximumLogSize,
            isWanted: {
                self.state.withLock { $0.copies[stream]?.isDropped == false } && member.engines.engine != nil
            }, metadata: member.metadata(at:))
        let index = source.metadata.index
        member.driver.append(.stream(stream, start: index))
        self.dial(node, at: address, form: .c, stream: stream, member) { channel in
            let sender = InstallSnapshotSender(source: source, term: term) { result in
                self.ended(node, stream: stream, member, result)
            }
            let bound = NIOLoopBound(sender, eventLoop: channel.eventLoop)
            self.awaitsAnswers.add(1, ordering: .relaxed)
            self.state.withLock { state in
                state.copies[stream]?.answered = (index, { channel.eventLoop.execute { bound.value.answered() } })
            }
            try channel.pipeline.syncOperations.addHandler(sender)
            self.began(stream) {
                channel.eventLoop.execute { bound.value.cancel(because: Self.tooLong) }
            }
        }
    }

    private static let tooLong = "the log has become too long to wait for the copy"

    private func dial(
        _ node: NodeID, at address: String, form: PeerForm, stream: UInt64, _ member: Member,
        begin: @escaping @Sendable (any Channel) throws -> Void
    ) {
        let dial = member.configuration.dial ?? dialByTCP
        let greeting = member.transport.greeting
        dial(address, member.configuration.eventLoops.next()).flatMap { channel in
            greeting.greet(channel, expecting: node.rawValue, form: form)
        }.flatMapThrowing(begin).whenFailure { error in
            self.ended(node, stream: stream, member, .failure(SnapshotError(.connection, "\(error)")))
        }
    }

    private func began(_ stream: UInt64, cancel: @escaping @Sendable () -> Void) {
        let isDropped = self.state.withLock { state in
            state.copies[stream]?.cancel = cancel
            return state.copies[stream]?.isDropped ?? true
        }
        if isDropped { cancel() }
    }

    /// A member has answered entries, or a copy in the C form, for which there is no other answer.
    func answered(by node: NodeID, _ result: AppendEntriesResult) {
        guard self.awaitsAnswers.load(ordering: .relaxed) > 0, result.rejected == .zero else { return }
        let told = self.state.withLock { state in
            state.copies.values.filter { $0.target == node }.compactMap(\.answered)
        }
        for (index, tell) in told where result.lastLogIndex >= index { tell() }
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
        if self.state.withLock({ $0.copies.removeValue(forKey: stream)?.answered != nil }) {
            self.awaitsAnswers.subtract(1, ordering: .relaxed)
        }
        // What it is told next says how far it is; from then on the log waits for it as for any member.
        member.driver.append(.snapshotSent(node, succeeded: succeeded))
        member.driver.append(.stream(stream, start: nil))
    }

    // MARK: Receiving

    /// What receives a copy from a node.
    ///
    /// - Parameter successor: Makes the handler of what comes after it, in the C form.
    func receiver(
        from node: NodeID, form: PeerForm, _ member: Member, successor: @escaping () -> any ChannelHandler
    ) -> any ChannelHandler {
        let isExpected = Flag()
        let accept = { @Sendable (offer: SnapshotOffer, decision: EventLoopPromise<Void>) in
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
        }
        let completed = { @Sendable (result: Result<SnapshotInstallation, SnapshotError>) in
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
        switch form {
        case .native: return SnapshotReceiver(directory: member.directory, accept: accept, completed: completed)
        case .c:
            return InstallSnapshotReceiver(
                directory: member.directory, contact: { member.contact(from: node) }, successor: successor,
                accept: accept, completed: completed)
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
    func snapshotReceiver(
        from node: NodeID, form: PeerForm, successor: @escaping () -> any ChannelHandler
    ) -> any ChannelHandler {
        self.snapshots.receiver(from: node, form: form, self, successor: successor)
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
