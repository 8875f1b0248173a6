/// Arithmetic of majorities.
enum Quorum {
    /// The largest value that a majority has reached, when each voter's is given; nil without voters.
    ///
    /// Used for the commit index (figure 2), and likewise for rounds and leases.
    static func reached<Value: Comparable>(_ values: [Value]) -> Value? {
        guard !values.isEmpty else { return nil }
        return values.sorted()[(values.count - 1) / 2]
    }

    /// Whether so many of all voters are a majority.
    static func isMajority(_ count: Int, of voters: Int) -> Bool { count > voters / 2 }
}
