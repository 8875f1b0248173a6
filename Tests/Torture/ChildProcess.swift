import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A process of ours. Nothing here blocks a thread.
final class ChildProcess: Sendable {
    let id: pid_t
    private let exit = Mutex<CInt?>(nil)

    struct SpawnFailed: Error { var code: CInt }

    /// - Parameter output: The file that what it prints is appended to.
    init(_ executable: String, _ arguments: [String], output: String) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // A connection that a child has, too, does not end when it is closed here.
        for descriptor in CInt(3)..<1024 { posix_spawn_file_actions_addclose(&actions, descriptor) }
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
        var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var id: pid_t = 0
        let code = posix_spawn(&id, executable, &actions, &attributes, &words, environ)
        guard code == 0 else { throw SpawnFailed(code: code) }
        self.id = id
    }

    /// What it ended with: the status of `wait`. nil: it has not ended.
    var status: CInt? {
        self.exit.withLock { exit in
            if exit == nil {
                var status: CInt = 0
                if waitpid(self.id, &status, WNOHANG) == self.id { exit = status }
            }
            return exit
        }
    }

    /// Sends it a signal, unless it has ended.
    func signal(_ number: CInt) {
        // Until it is waited for, nobody else gets its number.
        self.exit.withLock { exit in
            if exit == nil { _ = systemKill(self.id, number) }
        }
    }

    /// Waits until it has ended.
    ///
    /// - Returns: What it ended with; nil: it has not ended in that time.
    func end(within limit: Duration) async -> CInt? {
        let deadline = ContinuousClock.now + limit
        while true {
            if let status = self.status { return status }
            if ContinuousClock.now > deadline { return nil }
            await pause(.milliseconds(5))
        }
    }

    /// Ends it at once.
    func kill() async {
        self.signal(SIGKILL)
        _ = await self.end(within: .seconds(60))
    }
}

private let systemKill: @Sendable (pid_t, CInt) -> CInt = { Glibc.kill($0, $1) }

/// Waits. Also if the task is cancelled: what has begun here is undone by who began it.
func pause(_ duration: Duration) async {
    let deadline = ContinuousClock.now + duration
    do {
        try await Task.sleep(until: deadline)
    } catch {
        if duration < .milliseconds(100) { usleep(1000) }
    }
}
