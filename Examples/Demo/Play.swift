import DqliteClient
import Foundation
import Logging

/// What the program shows: it starts the members, lets them die and come back, and compares what they have at the end.
struct Play {
    enum End: Sendable {
        case right
        case wrong
        case interrupted
    }

    enum Event: Sendable {
        case news(member: Int, News)
        /// The last of a member's news has come: it has ended.
        case ended(member: Int)
        case tick
    }

    struct Failure: Error, CustomStringConvertible { var description: String }

    let duration: Duration
    let directory: URL
    let start = ContinuousClock.now
    var screen = Screen()
    var members: [Member]
    var ledger = Ledger()
    var failOvers = FailOvers()
    var picture: Picture
    /// When the writers began, since the start.
    var opening = Duration.zero
    /// What is going on, for the terminal.
    var phase = "starting"
    private let events: AsyncStream<Event>
    private let happened: AsyncStream<Event>.Continuation
    private var nextStatus = Duration.seconds(5)

    private init(for duration: Duration, in directory: URL) throws {
        self.duration = duration
        self.directory = directory
        self.picture = Picture(of: duration)
        let ports = try (1...3).map { _ in try ReservedPort().number }
        self.members = ports.indices.map { Member(id: UInt64($0 + 1), ports: ports, directory: directory) }
        (self.events, self.happened) = AsyncStream.makeStream(of: Event.self)
    }

    static func run(for duration: Duration, in directory: URL) async -> End {
        var play: Play
        do {
            play = try Play(for: duration, in: directory)
        } catch {
            print("error: \(error)")
            return .wrong
        }
        do {
            let isRight = try await play.perform()
            return isRight ? .right : .wrong
        } catch {
            for index in play.members.indices { play.members[index].kill() }
            play.screen.show([])
            if Task.isCancelled { return .interrupted }
            play.screen.line("error: \(error)")
            return .wrong
        }
    }

    var now: Duration { ContinuousClock.now - self.start }

    private mutating func perform() async throws -> Bool {
        self.screen.line(
            """
            Three nodes, each a process of its own, and in each process a writer that inserts rows into one table. For
            \(self.duration.components.seconds) seconds every process dies (SIGKILL) after a random time and comes back, with what is on its disk.

            """)
        let happened = self.happened
        let clock = Task {
            while !Task.isCancelled {
                happened.yield(.tick)
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        defer { clock.cancel() }
        try await self.openCluster()
        try await self.rage()
        try await self.calm()
        let isRight = try await self.compareNodes()
        for index in self.members.indices { self.members[index].kill() }
        return isRight
    }

    // MARK: Acts

    /// Three nodes, a table, and writers.
    private mutating func openCluster() async throws {
        for index in self.members.indices { try self.startMember(index) }
        try await self.go(within: .seconds(30), for: "the nodes to start") { play in
            play.members.allSatisfy { $0.state == .up }
        }
        self.phase = "nodes 2 and 3 join"
        try await self.untilAllVote()
        try await self.go(within: .seconds(10), for: "a leader") { play in play.members.contains { $0.leads } }
        self.opening = self.now
        self.screen.line(self.now, "all three vote, the table is there: the writers begin")
        for index in self.members.indices {
            self.members[index].isToWrite = true
            self.members[index].order(.write)
            self.members[index].dies(after: .seconds(Double.random(in: 2...9)), at: self.now)
        }
    }

    private func untilAllVote() async throws {
        let client = DqliteClientConfiguration(
            seeds: self.members.map(\.address), database: Table.database)
        try await DqliteClient.withClient(configuration: client, logger: Logger(label: "demo")) { client in
            let deadline = ContinuousClock.now + .seconds(30)
            while true {
                let servers = try await client.withConnection { try await $0.cluster() }
                if servers.count(where: { $0.role == .voter }) == 3 { break }
                guard ContinuousClock.now < deadline else {
                    throw Failure(description: "the nodes did not join within 30 seconds")
                }
                try await Task.sleep(for: .milliseconds(100))
            }
            try await client.execute(Table.create)
        }
    }

    /// Everybody dies, again and again.
    private mutating func rage() async throws {
        let end = self.opening + self.duration
        while self.now < end {
            self.phase = "\(Int((end - self.now) / .seconds(1)) + 1) s left"
            try await self.next()
            for index in self.members.indices { try self.killOrStart(index) }
        }
    }

    private mutating func killOrStart(_ index: Int) throws {
        switch self.members[index].state {
        case .up where self.members[index].isDue(at: self.now):
            if self.members[index].leads { self.failOvers.leaderDied() }
            self.members[index].kill()
        case .down where self.members[index].isDue(at: self.now): try self.startMember(index)
        default: break
        }
    }

    /// Nobody dies any more, and writers end what they have begun.
    private mutating func calm() async throws {
        self.phase = "all come back"
        for index in self.members.indices { self.members[index].diesNoMore() }
        try await self.go(within: .seconds(10), for: "the last news") { play in
            play.members.allSatisfy { $0.state != .dying }
        }
        for index in self.members.indices where self.members[index].state == .down { try self.startMember(index) }
        try await self.go(within: .seconds(30), for: "all nodes to come back") { play in
            play.members.allSatisfy { $0.state == .up && $0.hasWritten }
        }
        for member in self.members { member.order(.pause) }
        self.phase = "writers pause"
        try await self.go(within: .seconds(30), for: "the writers to pause") { play in
            play.members.allSatisfy(\.hasPaused)
        }
        self.screen.line(self.now, "all nodes run, and the writers have paused")
    }

    // MARK: Events

    private mutating func startMember(_ index: Int) throws {
        let happened = self.happened
        try self.members[index].start(firstWrite: self.ledger.next(of: self.members[index].id)) { news in
            happened.yield(news.map { .news(member: index, $0) } ?? .ended(member: index))
        }
        if self.opening == .zero {
            let does = index == 0 ? "makes the cluster" : "joins it"
            self.screen.line(
                self.now,
                "node \(index + 1) starts at \(self.members[index].address), process \(self.members[index].pid): it \(does)"
            )
        }
    }

    /// Goes on until that is so.
    mutating func go(
        within limit: Duration, for what: String, until isDone: (Play) -> Bool
    ) async throws {
        let deadline = self.now + limit
        while !isDone(self) {
            guard self.now < deadline else {
                throw Failure(description: "waited \(limit.components.seconds) seconds for \(what), in vain")
            }
            try await self.next()
        }
    }

    private mutating func next() async throws {
        var iterator = self.events.makeAsyncIterator()
        guard let event = await iterator.next(), !Task.isCancelled else { throw CancellationError() }
        let now = self.now
        switch event {
        case .news(let index, let news): try self.received(news, from: index, at: now)
        case .ended(let index): try self.ended(index, at: now)
        case .tick: self.draw(at: now)
        }
    }

    private mutating func received(_ news: News, from index: Int, at now: Duration) throws {
        let id = self.members[index].id
        switch news {
        case .ready:
            self.members[index].isReady()
            if self.opening > .zero { self.screen.line(now, "node \(id) is back") }
            if self.members[index].isToWrite { self.members[index].order(.write) }
            self.members[index].dies(after: .seconds(Double.random(in: 5...14)), at: now)
            self.noteMajority(at: now)
        case .leadership(let term, let leads):
            // What one says that is killed already is no news.
            guard self.members[index].state == .up else { return }
            let wasLeading = self.members[index].leads
            self.members[index].leads = leads
            self.members[index].term = term
            guard leads, !wasLeading else { return }
            self.screen.line(now, "node \(id) leads, in term \(term)")
            self.failOvers.leads()
        case .began(let number, let rows): self.ledger.began(WriteID(writer: id, number: number), rows: rows)
        case .acknowledged(let number):
            let rows = self.ledger.acknowledged(WriteID(writer: id, number: number))
            self.members[index].hasWritten = true
            self.picture.acknowledged(rows, at: now - self.opening)
            if let gap = self.failOvers.acknowledged(at: now) { self.screen.line(now, "    \(gap.text)") }
        case .again(let number): self.ledger.again(WriteID(writer: id, number: number))
        case .doubtful(let number): self.ledger.doubtful(WriteID(writer: id, number: number))
        case .paused: self.members[index].hasPaused = true
        case .dumped: self.members[index].dumps += 1
        case .failed(let reason): throw Failure(description: "node \(id) cannot go on: \(reason)")
        }
    }

    private mutating func ended(_ index: Int, at now: Duration) throws {
        let member = self.members[index]
        guard member.state == .dying else {
            throw Failure(description: "node \(member.id) ended by itself; its log ends with\n\(member.endOfLog)")
        }
        let wasLeading = member.leads
        self.members[index].died(at: now, returnsAfter: .seconds(Double.random(in: 0.5...1.5)))
        var text = "node \(member.id) dies"
        if wasLeading { text += ", the leader" }
        if let write = self.ledger.died(member.id) {
            text += write.rows > 1 ? "; a transaction of its writer is left over" : "; its writer had no answer yet"
        }
        self.screen.line(now, text)
        self.noteMajority(at: now)
    }

    private mutating func noteMajority(at now: Duration) {
        let running = self.members.count { $0.state == .up }
        let isThere = running * 2 > self.members.count
        if !isThere, self.opening > .zero, self.failOvers.hasMajority {
            let text = running == 0 ? "none of the three runs" : "only one of three runs"
            self.screen.line(now, "    \(text): nothing can be committed until two do")
        }
        self.failOvers.majority(isThere: isThere, at: now)
    }

    // MARK: What is shown meanwhile

    private mutating func draw(at now: Duration) {
        let isWriting = self.opening > .zero
        if isWriting {
            for member in self.members { self.picture.note(member.id, member.role, at: now - self.opening) }
        }
        if self.screen.isTerminal {
            var lines = [""] + (isWriting ? self.pictureLines : [])
            lines.append("  " + (isWriting ? self.counts + ", " : "") + self.phase)
            self.screen.show(lines)
        } else if isWriting, now >= self.nextStatus {
            self.nextStatus = now + .seconds(5)
            self.screen.line(now, "    so far \(self.counts)")
        }
    }

    /// What each node was, and is, and the rows that were acknowledged meanwhile.
    var pictureLines: [String] {
        let heights = self.picture.heights
        return self.members.map { member in
            let role =
                switch member.role {
                case .leads: "leads, term \(member.term)"
                case .follows: "follows"
                case .down: "is down"
                }
            return "  node \(member.id)  \(role.filled(14))  \(self.picture.line(of: member.id))"
        } + ["  rows                    \(heights)", "                          \(self.picture.axis)"]
    }

    private var counts: String {
        "\(count(self.ledger.acknowledgedRows, "row")) acknowledged, \(count(self.ledger.doubtful, "write")) in doubt, "
            + "\(count(self.failOvers.gaps.count, "fail-over"))"
    }
}

extension FailOvers.Gap {
    var text: String {
        var text = "rows are acknowledged again, \(self.length.inSeconds(2)) s after the last one before"
        if self.withoutMajority > .milliseconds(10) {
            text += " (\(self.withoutMajority.inSeconds(2)) s of that without a majority)"
        }
        return text
    }
}
