import Foundation
import TestSupport

/// Files beside the tests.
enum Fixtures {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures")
    /// The folder of the whole repository.
    static let repository = directory.deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A recorded frame, by its number.
    static func frame(_ number: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: self.directory.appending(path: "frames/\(number).bin")))
    }

    /// Bytes from pairs of hexadecimal digits.
    static func bytes(hex: some StringProtocol) -> [UInt8] {
        let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue ?? 0) }
        return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// Lines of 16 bytes as pairs of hexadecimal digits.
    static func hex(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 16).map { start in
            bytes[start..<min(start + 16, bytes.count)].map { String(format: "%02x", $0) }.joined(separator: " ")
        }.joined(separator: "\n")
    }
}

extension SeededRandom {
    /// With a seed that belongs to a name.
    init(name: String) {
        self.init(seed: name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
    }
}
