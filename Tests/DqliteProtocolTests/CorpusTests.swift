import DqliteFuzzing
import DqliteProtocol
import Foundation
import Testing

/// What the fuzz targets start from, and what they have found interesting so far.
///
/// With RECORD_CORPUS=1 in the environment the golden bytes and the recorded frames are added to it.
@Suite struct CorpusTests {
    @Test(arguments: FuzzTarget.allCases)
    func survivesTheCorpus(_ target: FuzzTarget) throws {
        let folder = Fixtures.repository.appending(path: "Fuzz/Corpus/\(target.rawValue)")
        if ProcessInfo.processInfo.environment["RECORD_CORPUS"] == "1" { try self.record(target, in: folder) }
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        #expect(files.count >= target.messages.count)
        for file in files {
            do {
                try [UInt8](try Data(contentsOf: file)).withUnsafeBytes { try target.run($0) }
            } catch {
                Issue.record("\(file.lastPathComponent): \(error)")
            }
        }
    }

    private func record(_ target: FuzzTarget, in folder: URL) throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        func add(_ name: String, _ message: MessageCase, _ revision: UInt8, _ bytes: [UInt8]) throws {
            guard bytes.count <= 1024,
                let input = target.input(message.type, revision: revision, bytes: bytes)
            else { return }
            try Data(input).write(to: folder.appending(path: name))
        }
        for message in MessageCase.all {
            if target == .protobuf {
                let golden = try GoldenTests.bytes(of: message, "protobuf")
                try add("\(message.name).protobuf", message, 0, golden)
            } else if message.dqliteType != nil {
                for revision in message.revisions {
                    let golden = try GoldenTests.bytes(of: message, "dqlite-\(revision)")
                    try add("\(message.name).dqlite-\(revision)", message, revision, golden)
                }
            }
        }
        for number in 2...55 where target != .protobuf {
            let frame = String(format: "9.%02d", number)
            let bytes = try Fixtures.frame(frame)
            for message in MessageCase.all {
                if number >= 44 {
                    guard Self.raftMessages.firstIndex(of: message.name) == Int(bytes[0]) - 1 else { continue }
                    try add("frame-\(frame)", message, 0, bytes)
                } else {
                    let request = (message.type as? any RequestMessage.Type)?.code.rawValue
                    let response = (message.type as? any ResponseMessage.Type)?.code.rawValue
                    guard request == bytes[4] || response == bytes[4] else { continue }
                    try add("frame-\(frame)-\(message.name)", message, bytes[5], Array(bytes[8...]))
                }
            }
        }
    }

    private static let raftMessages = [
        "AppendEntries", "AppendEntriesResult", "RequestVote", "RequestVoteResult", "InstallSnapshot", "TimeoutNow",
    ]
}
