/// The values of a statement's parameters, in order.
public struct DqliteBindings: Hashable, Sendable {
    /// The values.
    public private(set) var values: [DqliteValue]
    /// Why one of the values cannot be stored by SQLite. The statement is then not sent.
    private(set) var problem: String?

    /// No values.
    public init() { self.values = [] }

    /// These values.
    public init(_ values: [DqliteValue]) { self.values = values }

    /// How many values there are.
    public var count: Int { self.values.count }

    /// Whether there are none.
    public var isEmpty: Bool { self.values.isEmpty }

    /// Adds the value of the next parameter.
    public mutating func append(_ value: DqliteValue) { self.values.append(value) }

    /// Adds the value of the next parameter.
    ///
    /// A value that encodes itself as none or as several, and would shift those behind it, makes sending the statement fail with
    /// ``DqliteError/Code-swift.struct/invalidQuery``.
    public mutating func append(_ value: some DqliteEncodable) {
        let count = self.values.count
        value.encode(into: &self)
        let added = self.values.count - count
        if added != 1 { self.note("parameter \(count + 1) has encoded itself as \(added) values instead of one") }
    }

    /// Makes sending the statement fail, with the first reason that is given.
    mutating func note(_ problem: String) { self.problem = self.problem ?? problem }

    /// Says that the value of the next parameter is one that SQLite cannot store: sending the statement will fail with
    /// ``DqliteError/Code-swift.struct/invalidQuery``.
    ///
    /// - Parameter reason: What is wrong, for a person. It is part of the error.
    public mutating func appendUnencodable(_ reason: String) {
        self.note("parameter \(self.values.count + 1): \(reason)")
        self.values.append(.null)
    }
}
