import Testing

@testable import DqliteEngine

@Suite("The self-test")
struct SelfTestTests {
    #if os(Linux)
        @Test("it makes no files, so that a node starts on a full disk")
        func noFiles() throws { try SelfTest.run(in: "/there/is/no/such/directory") }
    #endif
}
