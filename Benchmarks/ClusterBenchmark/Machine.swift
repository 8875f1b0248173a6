import BenchmarkSupport
import Foundation

/// What it was measured on.
enum Machine {
    static func description(of directory: URL) -> String {
        var system = utsname()
        uname(&system)
        let kernel = withUnsafeBytes(of: &system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let fileSystem = Disk.fileSystem(of: directory) ?? "unknown"
        let memory = Double(ProcessInfo.processInfo.physicalMemory) / Double(1 << 30)
        return "\(Self.processor), \(ProcessInfo.processInfo.activeProcessorCount) processors, "
            + "\(format(memory, 0)) GiB of memory, Linux \(kernel), data on \(fileSystem)"
    }

    static var date: String { String(ISO8601DateFormatter().string(from: Date()).prefix(10)) }

    private static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") || $0.hasPrefix("Model") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }
}
