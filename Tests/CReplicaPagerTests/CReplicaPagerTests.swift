import CReplicaPagerPrograms
import Foundation
import Testing

/// Short runs of the pager's test programs. A program ends the process with a sentence when something is wrong;
/// `scripts/test-pager` runs them longer, under sanitizers, and with defects planted.
@Suite(.serialized) struct CReplicaPagerTests {
    /// A directory of its own for a program's databases.
    private func withDirectory(_ body: (String) -> CInt) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "pager-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        #expect(body(directory.path(percentEncoded: false)) == 0)
    }

    @Test func behavesAsDocumented() throws {
        try self.withDirectory { pager_behaviour($0) }
    }

    @Test func refusesWhatReplicationCannotBear() throws {
        try self.withDirectory { pager_refusals($0) }
    }

    @Test func repairsInterruptedCheckpointsFromTheLog() throws {
        try self.withDirectory { pager_crashes($0, 1, 25, 0) }
    }

    @Test func crashesAreSeenWithoutRedo() throws {
        try self.withDirectory { pager_crashes($0, 1, 10, 1) }
    }

    @Test(arguments: [CInt(0), 1])
    func losesNothingWhenTermsEnd(style: CInt) throws {
        try self.withDirectory { pager_torture($0, 1, style == 0 ? 20 : 5, style) }
    }
}
