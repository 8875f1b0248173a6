import DqliteProtocol
import Testing

@Suite struct FrameHeaderTests {
    @Test func layout() {
        let header = FrameHeader(bodyWords: 0x0403_0201, code: 5, revision: 6)
        #expect(headerBytes(header) == [1, 2, 3, 4, 5, 6, 0, 0])
        // The last two bytes are ignored.
        #expect(([1, 2, 3, 4, 5, 6, 7, 8, 9] as [UInt8]).withUnsafeBytes { FrameHeader($0) } == header)
    }

    @Test func largestBody() {
        #expect(FrameHeader(bodyWords: .max, code: 0).bodySize == 8 * Int(UInt32.max))
    }
}
