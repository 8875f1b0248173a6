/// The first 8 bytes of a connection, as a little-endian word: they choose the encoding.
public enum Preface {
    /// The dqlite encoding.
    public static let dqlite: UInt64 = 1
    /// The dqlite encoding as it was before dqlite 1.0: Leader is answered in its older form.
    public static let dqliteLegacy: UInt64 = 0x8610_4dd7_6043_3fe5
    /// The protobuf encoding: the characters "dqlitep1".
    public static let protobuf: UInt64 = 0x3170_6574_696c_7164
    /// A stream of messages from one node to another: the characters "dqliter1".
    public static let raft: UInt64 = 0x3172_6574_696c_7164
}
