// What the host gives to the raw device, and what it can do with it.
export const make = () => {
  let send;
  return {
    endowments: {
      connect: given => {
        send = given;
      },
    },
    functions: { send: slot => send(slot) },
    hooks: {
      // Krefs come in and go out.
      swap: ({ body, slots }) => ({ body: `#[${body.length},"$0"]`, slots: slots.slice(0, 1) }),
    },
  };
};
