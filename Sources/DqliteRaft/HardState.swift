/// The term a node is in, and whom it voted for in it.
public struct HardState: Hashable, Sendable {
    public var term: Term
    /// nil: nobody.
    public var vote: NodeID?

    public init(term: Term = .zero, vote: NodeID? = nil) {
        self.term = term
        self.vote = vote
    }
}
