throw Error("top");
