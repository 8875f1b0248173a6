import Foundation

/// A write of a writer: one row, or several in a transaction. Its rows are those with this writer and this number.
struct WriteID: Hashable {
    /// The node in whose process the writer is.
    var writer: UInt64
    var number: Int
}

/// What a member's process tells the program that started it: a line of JSON each, on its standard output.
enum News: Codable, Sendable {
    /// The node serves.
    case ready
    /// Whether the node leads, in the newest term that it knows.
    case leadership(term: UInt64, leads: Bool)
    /// The writer begins to write that many rows. Told before anything is sent.
    case began(number: Int, rows: Int)
    /// It was committed.
    case acknowledged(number: Int)
    /// It was not committed, and nothing of it will be: the writer does it again.
    case again(number: Int)
    /// Nobody knows whether it was committed, or will be: the writer does not do it again.
    case doubtful(number: Int)
    /// The writer was told to pause, and has nothing under way.
    case paused
    /// The database, as this node has it, is in a file now.
    case dumped
    /// The process cannot go on.
    case failed(String)

    /// Tells it in one piece, so that all that was told before the process died is there.
    func tell() {
        guard var line = try? JSONEncoder().encode(self) else { return }
        line.append(UInt8(ascii: "\n"))
        FileHandle.standardOutput.write(line)
    }

    /// - Returns: nil when the line is not whole: its writer died.
    init?(line: some Sequence<UInt8>) {
        guard let news = try? JSONDecoder().decode(News.self, from: Data(line)) else { return nil }
        self = news
    }
}

/// What a member's process is told: a line each, on its standard input. The end of it ends the process at once.
enum Order: String, Sendable {
    case write
    case pause
    /// To put the database, as this node has it, into a file: at the path of the data directory with `.db` behind.
    case dump

    /// What this process is told. It is ended when nobody is there any more who could tell it something.
    static func received() -> AsyncStream<Order> {
        let (orders, continuation) = AsyncStream.makeStream(of: Order.self)
        Thread.detachNewThread {
            while let line = readLine() {
                if let order = Order(rawValue: line) { continuation.yield(order) }
            }
            _exit(1)
        }
        return orders
    }
}
