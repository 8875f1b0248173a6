// What appending to the log costs, beside a plain loop of pwrite and fdatasync on the same disk.
//
//     log-benchmark [DIRECTORY [SECONDS]]    a directory on the disk that is meant; 2 seconds for each figure
//     log-benchmark append DIRECTORY         appends for ever, and writes each index that is durable: for tests that kill it
import DqliteLog
import DqliteRaft
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One thread that waits for its append.
final class Turn: Sendable {
    private let descriptors: (read: CInt, write: CInt)

    init() {
        var pair: [CInt] = [0, 0]
        pipe(&pair)
        self.descriptors = (pair[0], pair[1])
    }

    func wait() {
        var byte: UInt8 = 0
        _ = read(self.descriptors.read, &byte, 1)
    }

    func signal() {
        var byte: UInt8 = 1
        _ = write(self.descriptors.write, &byte, 1)
    }
}

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Runs `body` on as many threads, with their numbers, and waits for them.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Start: Sendable {
        let number: Int
        let body: @Sendable (Int) -> Void
        init(_ number: Int, _ body: @escaping @Sendable (Int) -> Void) { (self.number, self.body) = (number, body) }
    }
    var threads: [pthread_t] = []
    for number in 0..<count {
        let start = Unmanaged.passRetained(Start(number, body)).toOpaque()
        #if canImport(Darwin)
            var thread: pthread_t?
            pthread_create(
                &thread, nil,
                { argument in
                    let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                    start.body(start.number)
                    return nil
                }, start)
            threads.append(thread!)
        #else
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { argument in
                    let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                    start.body(start.number)
                    return nil
                }, start)
            threads.append(thread)
        #endif
    }
    for thread in threads { pthread_join(thread, nil) }
}

/// Counts what the log asks of the disk.
final class CountingDirectory: LogFileSystem {
    let directory: LogDirectory
    let syncs = Atomic(0)

    init(_ directory: LogDirectory) { self.directory = directory }

    struct File: LogFile {
        let file: any LogFile
        let owner: CountingDirectory
        var size: Int { self.file.size }
        func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogFileError) {
            try self.file.read(into: memory, at: offset)
        }
        func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) throws(LogFileError) {
            try self.file.write(buffers, at: offset)
        }
        func sync() throws(LogFileError) {
            self.owner.syncs.add(1, ordering: .relaxed)
            try self.file.sync()
        }
    }

    func names() throws(LogFileError) -> [String] { try self.directory.names() }
    func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile {
        File(file: try self.directory.create(name, size: size), owner: self)
    }
    func open(_ name: String) throws(LogFileError) -> any LogFile {
        File(file: try self.directory.open(name), owner: self)
    }
    func rename(_ name: String, to newName: String) throws(LogFileError) {
        try self.directory.rename(name, to: newName)
    }
    func remove(_ name: String) throws(LogFileError) { try self.directory.remove(name) }
    func retire(_ name: String) throws(LogFileError) { try self.directory.retire(name) }
    func sync() throws(LogFileError) { try self.directory.sync() }
}

func median(_ values: [Double]) -> Int { values.isEmpty ? 0 : Int(values.sorted()[values.count / 2]) }

func show(_ name: String, _ latencies: [Double], seconds: Double, syncs: Int) {
    let count = latencies.count
    let perAppend = Int(Double(syncs) / Double(max(count, 1)) * 1000)
    print(
        "\(name): \(Int(Double(count) / seconds)) appends/s, p50 \(median(latencies)) us, \(perAppend) fdatasyncs per 1000"
    )
}

/// A loop of pwrite and fdatasync: what the disk can do for one who waits for each.
func plain(_ directory: String, size: Int, seconds: Double) {
    let path = directory + "/plain"
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    defer {
        close(descriptor)
        unlink(path)
    }
    let bytes = [UInt8](repeating: 7, count: size)
    var latencies: [Double] = []
    let start = now()
    var offset = 0
    while now() - start < seconds {
        let before = now()
        pwrite(descriptor, bytes, size, off_t(offset))
        fsyncData(descriptor)
        latencies.append((now() - before) * 1e6)
        offset += size
    }
    show("pwrite+fdatasync, \(size) bytes", latencies, seconds: now() - start, syncs: latencies.count)
}

func fsyncData(_ descriptor: CInt) {
    #if canImport(Darwin)
        _ = fcntl(descriptor, F_FULLFSYNC)
    #else
        fdatasync(descriptor)
    #endif
}

func appended(_ directory: String, appenders: Int, size: Int, seconds: Double) throws {
    let fileSystem = CountingDirectory(try LogDirectory(directory + "/log"))
    let log = try Log(fileSystem: fileSystem)
    try log.save(HardState(term: Term(1)))
    let next = Mutex(LogIndex(1))
    let all = Mutex<[Double]>([])
    let data = [UInt8](repeating: 7, count: size)
    let syncs = fileSystem.syncs.load(ordering: .relaxed)
    let start = now()
    onThreads(appenders) { _ in
        let turn = Turn()
        var latencies: [Double] = []
        while now() - start < seconds {
            let before = now()
            next.withLock { index in
                do throws(LogError) {
                    try log.append([Entry(index: index, term: Term(1), data: data)]) { _ in turn.signal() }
                    index = index.next
                } catch {
                    print(error)
                    exit(1)
                }
            }
            turn.wait()
            latencies.append((now() - before) * 1e6)
        }
        all.withLock { $0 += latencies }
    }
    let duration = now() - start
    show(
        "log, \(size) bytes, \(appenders) appenders", all.withLock { $0 }, seconds: duration,
        syncs: fileSystem.syncs.load(ordering: .relaxed) - syncs)
    log.close()
    let opening = now()
    let again = try Log(fileSystem: fileSystem)
    print("    reading \(again.status.size >> 20) MiB of segments to open it: \(Int((now() - opening) * 1000)) ms")
    again.close()
}

func appendForEver(_ directory: String) throws {
    var configuration = LogConfiguration()
    configuration.segmentSize = 256 << 10
    let log = try Log(directory: directory, configuration: configuration)
    if log.hardState.term == .zero { try log.save(HardState(term: Term(1))) }
    var index = log.status.lastIndex
    while true {
        index = index.next
        let entry = Entry(
            index: index, term: Term(1),
            data: [UInt8](repeating: UInt8(truncatingIfNeeded: index.rawValue), count: Int(index.rawValue % 5000)))
        do throws(LogError) {
            try log.append([entry]) { result in
                guard case .success(let index) = result else { return }
                let line = Array("\(index)\n".utf8)
                _ = write(1, line, line.count)
            }
        } catch .queueFull {
            index = index.previous
            sched_yield()
        }
    }
}

let arguments = CommandLine.arguments
if arguments.count == 3, arguments[1] == "append" {
    try appendForEver(arguments[2])
}
let directory = (arguments.count > 1 ? arguments[1] : "/tmp") + "/log-benchmark-\(getpid())"
let seconds = arguments.count > 2 ? Double(arguments[2]) ?? 2 : 2
mkdir(directory, 0o700)
for size in [400, 4136] {
    plain(directory, size: size, seconds: seconds)
    for appenders in [1, 64] {
        try appended(directory, appenders: appenders, size: size, seconds: seconds)
        // Each figure begins with an empty log.
        for name in try LogDirectory(directory + "/log").names() { unlink(directory + "/log/" + name) }
    }
}
