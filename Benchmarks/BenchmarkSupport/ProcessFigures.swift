package import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the system knows about a process. nil where it does not say.
package enum ProcessFigures {
    /// Processor time of this process, in seconds.
    package static func ownProcessorTime() -> Double { Self.time(CLOCK_PROCESS_CPUTIME_ID) }

    /// Processor time of a process, in seconds.
    package static func processorTime(of process: pid_t) -> Double? {
        #if canImport(Darwin)
            return nil
        #else
            var clock = clockid_t()
            guard clock_getcpuclockid(process, &clock) == 0 else { return nil }
            return Self.time(clock)
        #endif
    }

    private static func time(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Resident memory, in bytes: now, at most so far, and the part that is no file's.
    package struct Memory: Sendable {
        package var resident = 0
        package var highWaterMark = 0
        package var anonymous = 0

        package init(resident: Int = 0, highWaterMark: Int = 0, anonymous: Int = 0) {
            self.resident = resident
            self.highWaterMark = highWaterMark
            self.anonymous = anonymous
        }
    }

    package static func memory(of process: pid_t) -> Memory? {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else { return nil }
        func bytes(_ name: String) -> Int { (Self.number(after: name + ":", in: text) ?? 0) * 1024 }
        return Memory(resident: bytes("VmRSS"), highWaterMark: bytes("VmHWM"), anonymous: bytes("RssAnon"))
    }

    /// Makes the high water mark of a process what it has now.
    ///
    /// - Returns: Whether the system can do that.
    @discardableResult
    package static func forgetHighWaterMark(of process: pid_t) -> Bool {
        guard let file = FileHandle(forWritingAtPath: "/proc/\(process)/clear_refs") else { return false }
        return (try? file.write(contentsOf: Data("5".utf8))) != nil
    }

    /// Bytes that a process has caused to be written to disks.
    package static func bytesWritten(by process: pid_t) -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/io", encoding: .utf8) else { return nil }
        // With the line's end before it, because cancelled_write_bytes ends with the same name.
        return Self.number(after: "\nwrite_bytes:", in: text)
    }

    /// The same of all children that have ended: what they wrote to the very end.
    package static func bytesWrittenByEndedChildren() -> Int? {
        #if canImport(Darwin)
            return nil
        #else
            var usage = rusage()
            guard getrusage(CInt(RUSAGE_CHILDREN.rawValue), &usage) == 0 else { return nil }
            // In blocks of 512 bytes, see task_io_get_oublock in Linux.
            return usage.ru_oublock * 512
        #endif
    }

    private static func number(after name: String, in text: String) -> Int? {
        guard let range = text.range(of: name) else { return nil }
        return Int(text[range.upperBound...].drop { $0 == " " || $0 == "\t" }.prefix { $0.isNumber })
    }
}
