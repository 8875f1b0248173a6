import DqliteClient
import Foundation

/// A member of the cluster, as the program that starts and kills it sees it.
struct Member {
    enum State {
        case starting
        case up
        /// It was killed; what it told before is still on its way.
        case dying
        case down
    }

    let id: UInt64
    let address: DqliteServerAddress
    private let ports: [Int]
    private let directory: URL
    private var process: MemberProcess?
    private(set) var state = State.down
    var leads = false
    /// The newest term that it knows.
    var term: UInt64 = 0
    var isToWrite = false
    /// Whether a row of its writer was acknowledged since it started.
    var hasWritten = false
    var hasPaused = false
    /// How often it has put its database into a file.
    var dumps = 0
    /// When it dies, or comes back.
    private var due: Duration?
    private var isMortal = true

    init(id: UInt64, ports: [Int], directory: URL) {
        self.id = id
        self.ports = ports
        self.directory = directory
        self.address = .hostname("127.0.0.1", port: ports[Int(id) - 1])
    }

    var pid: pid_t { self.process?.id ?? 0 }

    private var data: URL { self.directory.appending(path: "node-\(self.id)") }

    /// Where it puts its database when it is told to.
    var dump: URL { self.directory.appending(path: "node-\(self.id).db") }

    private var log: URL { self.directory.appending(path: "node-\(self.id).log") }

    /// The last that it logged.
    var endOfLog: String {
        let lines = (try? String(contentsOf: self.log, encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.suffix(5).joined(separator: "\n")
    }

    mutating func start(firstWrite: Int, news: @escaping @Sendable (News?) -> Void) throws {
        let data = self.data.path(percentEncoded: false)
        self.process = try MemberProcess(
            ["member", "--id", "\(self.id)", "--data-dir", data, "--first-write", "\(firstWrite)", "--ports"]
                + self.ports.map(String.init),
            log: self.log.path(percentEncoded: false), news: news)
        self.state = .starting
        self.due = nil
        self.leads = false
        self.hasWritten = false
        self.hasPaused = false
    }

    func order(_ order: Order) { self.process?.order(order) }

    mutating func isReady() { self.state = .up }

    mutating func dies(after life: Duration, at now: Duration) {
        if self.isMortal, self.isToWrite { self.due = now + life }
    }

    mutating func diesNoMore() {
        self.isMortal = false
        self.due = nil
    }

    func isDue(at now: Duration) -> Bool { self.due.map { $0 <= now } ?? false }

    mutating func kill() {
        self.process?.kill()
        self.process = nil
        self.state = .dying
    }

    mutating func died(at now: Duration, returnsAfter absence: Duration) {
        self.state = .down
        self.leads = false
        self.due = now + absence
    }

    var role: Picture.Role {
        switch self.state {
        case .up: self.leads ? .leads : .follows
        case .starting, .dying, .down: .down
        }
    }
}
