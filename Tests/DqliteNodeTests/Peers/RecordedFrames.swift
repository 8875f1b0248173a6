import Foundation
import NIOCore

/// What C nodes have sent to each other: the frames of the protocol's tests.
enum RecordedFrames {
    static func frame(_ number: String) throws -> [UInt8] {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return [UInt8](
            try Data(contentsOf: tests.appending(path: "DqliteProtocolTests/Fixtures/frames/\(number).bin")))
    }
}

extension ByteBuffer {
    /// Cut into pieces of so many bytes.
    func pieces(of size: Int) -> [ByteBuffer] {
        var rest = self
        var pieces: [ByteBuffer] = []
        while rest.readableBytes > 0 { pieces.append(rest.readSlice(length: min(size, rest.readableBytes))!) }
        return pieces
    }
}
