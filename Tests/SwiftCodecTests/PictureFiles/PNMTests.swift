// SPDX-License-Identifier: BSD-3-Clause

import SwiftCodec
import Testing

@testable import PictureFiles

@Suite struct PNMTests {
  private func read(_ text: String, _ rest: [UInt8] = []) throws(PNMError) -> Picture {
    try PNM.read(Array(text.utf8) + rest)
  }

  @Test func readsEveryKind() throws {
    func picture(_ width: Int, _ height: Int, _ channels: Int, _ samples: [UInt8]) throws -> Picture {
      try Picture(width: width, height: height, channels: channels, samples: samples)
    }
    let bits = try picture(3, 2, 1, [0, 255, 0, 255, 0, 255])
    #expect(try read("P1\n# a comment\n3 2\n1 0 1\n010") == bits)
    #expect(try read("P4 3 2\n", [0b1011_1111, 0b0100_0000]) == bits)
    #expect(try read("P2\n3 1 # width, height\n15\n0 7\t15 junk") == picture(3, 1, 1, [0, 119, 255]))
    #expect(try read("P5\r\n3 1\r\n255\n", [1, 2, 255]) == picture(3, 1, 1, [1, 2, 255]))
    #expect(try read("P5 2 1 100\n", [50, 100]) == picture(2, 1, 1, [128, 255]))
    #expect(try read("P5 2 1 65535\n", [0, 129, 0x7F, 0xFF]) == picture(2, 1, 1, [1, 127]))
    #expect(try read("P3 1 2 255 1 2 3 4 5 6") == picture(1, 2, 3, [1, 2, 3, 4, 5, 6]))
    #expect(try read("P6#c\n1 1\n#d\n255 ", [10, 35, 30]) == picture(1, 1, 3, [10, 35, 30]))
    #expect(try read("P6 1 1 1023\n", [0, 0, 3, 255, 2, 0]) == picture(1, 1, 3, [0, 255, 128]))
  }

  @Test(arguments: [1, 3]) func readsWhatItWrites(_ channels: Int) throws {
    let picture = drawnPicture(width: 19, height: 7, channels: channels)
    #expect(try PNM.read(PNM.write(picture)) == picture)
  }

  @Test func refusesWhatIsNoPicture() {
    let wrong = [
      "", "P", "P0 1 1 ", "P7 1 1 255 a", "P5", "P5 1", "P5 1 1", "P5 1 1 255", "P5 0 1 255 a", "P5 1 65536 255 a",
      "P5 1 1 0 a", "P5 1 1 65536 aa", "P5 -1 1 255 a", "P5 1 x 255 a", "P2 1 1 255 x", "P2 1 1 255 256", "P5 1 1 10 z",
      "P1 2 1 12", "P2 2 1 255 1", "P5 9999999999 1 255 a", "P6 65535 65535 255 abc", "P3 65535 65535 255 1 2 3",
      "P1 65535 65535 1", "P4 65535 65535 a",
    ]
    for text in wrong {
      #expect(throws: PNMError.self, "\(text)") { try read(text) }
    }
  }

  @Test func everyTruncationIsAnError() {
    let binary = PNM.write(drawnPicture(width: 5, height: 4))
    for count in 0..<binary.count {
      #expect(throws: PNMError.self, "\(count) bytes") { try PNM.read(Array(binary[..<count])) }
    }
  }
}
