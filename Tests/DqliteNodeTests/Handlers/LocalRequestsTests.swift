import DqliteProtocol
import DqliteRaft
import Testing

@testable import DqliteNode

struct LocalRequestsTests {
    /// Clients go where they are sent, and give up when they are refused there.
    @Test(arguments: [true, false])
    func aLeaderNamesItselfOnceItServes(serves: Bool) throws {
        let node = NodeState.forTests(storage: FakeStorage(), serves: serves)
        guard case .response(.server(let server), _) = node.answer(.leader(LeaderRequest())) else { throw Unexpected() }
        #expect(server == (serves ? ServerResponse(serverID: 1, address: "127.0.0.1:9001") : ServerResponse()))
    }
}
