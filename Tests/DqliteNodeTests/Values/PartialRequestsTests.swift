import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteNode

struct PartialRequestsTests {
    @Test func countsAllConnections() {
        let all = PartialRequests(limit: 300_000)
        var one = PartialRequests.Share(of: all)
        var two = PartialRequests.Share(of: all)
        // The macro would copy a share, which nobody may.
        let results = [
            one.update(200_000), two.update(200_000), two.update(PartialRequests.Share.harmless), one.update(0),
            two.update(200_000),
        ]
        #expect(results == [true, false, true, true, true])
        #expect(all.bytes == 200_000)
    }

    /// Who exceeds the limit is told, and closed; what it had is free again.
    @Test(arguments: [Preface.dqlite, Preface.protobuf])
    func connectionsAboveTheLimitAreClosed(word: UInt64) throws {
        let test = try HandlerTest { $0.partialRequestBytes = 100_000 }
        try test.send(word: word)
        var bytes = ByteBuffer()
        if word == Preface.dqlite {
            bytes.writeInteger(UInt32(1 << 20), endianness: .little)
            bytes.writeInteger(UInt32(RequestCode.execSQL.rawValue), endianness: .little)
        } else {
            // The length, as a varint.
            bytes.writeBytes([0x80, 0x80, 0x80, 0x02])
        }
        bytes.writeRepeatingByte(0, count: 90_000)
        try test.send(bytes)
        #expect(try test.received().readableBytes == 0)
        #expect(test.node.partialRequests.bytes >= 90_000)
        try test.send(ByteBuffer(repeating: 0, count: 20_000))
        if word == Preface.dqlite {
            let failure: FailureResponse = try test.answer()
            #expect(failure.code == FailureCode.busy)
        } else {
            let answers = try test.envelopes()
            #expect(answers.map(\.requestID) == [0])
            guard case .failure(let failure) = answers.first?.body else { throw Unexpected() }
            #expect(failure.code == FailureCode.busy)
        }
        #expect(test.node.partialRequests.bytes == 0)
    }
}
