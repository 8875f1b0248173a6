import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A member of the cluster in a process of its own.
struct MemberProcess {
    let id: pid_t
    private let input: CInt

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// - Parameters:
    ///   - log: The file that what it logs is appended to.
    ///   - news: Called on a thread of its own with what it tells; nil, at last: it has ended, or is about to.
    init(_ arguments: [String], log: String, news: @escaping @Sendable (News?) -> Void) throws {
        let (inputEnd, input) = try Self.pipe()
        let (output, outputEnd) = try Self.pipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, inputEnd, 0)
        posix_spawn_file_actions_adddup2(&actions, outputEnd, 1)
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        // What this program ignores, its children would too.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        let executable = CommandLine.arguments[0]
        var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, executable, &actions, &attributes, &words, environ)
        close(inputEnd)
        close(outputEnd)
        guard code == 0 else {
            close(input)
            close(output)
            throw Failure(description: "\(executable) cannot be started: \(String(cString: strerror(code)))")
        }
        self.id = id
        self.input = input
        Thread.detachNewThread { Self.read(output, news) }
    }

    func order(_ order: Order) {
        let line = Array((order.rawValue + "\n").utf8)
        // If it has died meanwhile, its end is news that come anyway.
        _ = write(self.input, line, line.count)
    }

    /// Ends it at once, with nothing that it could still do.
    func kill() {
        _ = systemKill(self.id, SIGKILL)
        var status: CInt = 0
        while waitpid(self.id, &status, 0) == -1, errno == EINTR {}
        close(self.input)
    }

    private static func pipe() throws -> (read: CInt, write: CInt) {
        var ends: [CInt] = [0, 0]
        guard systemPipe(&ends) == 0 else { throw Failure(description: String(cString: strerror(errno))) }
        // Another child that had an end too would keep the pipe open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    private static func read(_ descriptor: CInt, _ news: (News?) -> Void) {
        var rest: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = systemRead(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            rest += buffer[..<count]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                if let item = News(line: rest[..<end]) { news(item) }
                rest.removeSubrange(...end)
            }
        }
        close(descriptor)
        news(nil)
    }
}

private let systemKill: @Sendable (pid_t, CInt) -> CInt = { kill($0, $1) }
private let systemPipe: @Sendable (UnsafeMutablePointer<CInt>) -> CInt = { pipe($0) }
private let systemRead: @Sendable (CInt, UnsafeMutableRawPointer, Int) -> Int = { read($0, $1, $2) }

/// A port of this machine. It stays reserved until this program ends, also while the node that listens on it is down: otherwise the
/// system could give it to a connection meanwhile.
struct ReservedPort {
    let number: Int

    init() throws {
        #if os(Linux)
            let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        #else
            let kind = SOCK_STREAM
        #endif
        let descriptor = socket(AF_INET, kind, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, size) == 0 && getsockname(descriptor, pointer, &size) == 0
            }
        }
        guard isBound else {
            throw MemberProcess.Failure(description: "there is no port to be had: \(String(cString: strerror(errno)))")
        }
        self.number = Int(UInt16(bigEndian: address.sin_port))
        #if os(Linux)
            // Linux lets another socket listen beside one that does not, when both say this.
            var isShared: CInt = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isShared, socklen_t(MemoryLayout<CInt>.size))
        #else
            close(descriptor)
        #endif
    }
}
